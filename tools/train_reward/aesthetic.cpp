#include "tools/train_reward/aesthetic.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <iomanip>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/evaluation/agreement.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/scorers/train_aesthetic.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/train_reward/member_options.hpp"
#include "tools/train_reward/rated_images.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kResamples = 1000;  // of the bootstrap

struct AestheticCommand {
  std::string clip, output, ratings;
  std::string form = "mlp";
  int64_t images = 12000, held_out = 2000, seed = 0;
  rewards::RaterOptions raters;
  rewards::AestheticTraining training;
  MemberConfig members;
  DeviceConfig device;
};

void declare(Options& options, AestheticCommand& config) {
  options.text("output", config.output, "safetensors file to write; a report goes beside it");
  options.short_name("output", 'o');
  options.text("clip", config.clip, "CLIP folder whose embeddings are used [embedded]");
  options.choice("form", config.form, {"linear", "mlp", "relu"}, "LAION's v1, v2, v2 with ReLU");
  options.group("ratings");
  options.text("ratings", config.ratings,
               "JSONL {\"image\", \"rating\"[, \"rater\"]}; else simulated");
  options.integer("images", config.images, "simulated: training images", 100, 10000000);
  options.integer("held_out", config.held_out, "simulated: held-out images", 20, 1000000);
  options.integer("raters", config.raters.raters, "simulated: raters in all", 1, 10000);
  options.integer("raters_an_image", config.raters.ratings, "simulated: of them, for one image", 1,
                  10000);
  options.number("rater_bias", config.raters.bias_deviation,
                 "simulated: deviation of the raters' levels", 0, 10);
  options.number("rater_noise", config.raters.noise_deviation, "simulated: deviation of a rating",
                 0, 10);
  options.group("training");
  options.integer("epochs", config.training.epochs, "passes over the ratings", 1, 100000);
  options.integer("batch_size", config.training.batch_size, "ratings a step", 1, 1000000);
  options.number("learning_rate", config.training.learning_rate, "falls to 0 as a cosine", 1e-9, 1);
  options.number("weight_decay", config.training.weight_decay, "of AdamW", 0, 10);
  options.integer("seed", config.seed, "of everything random", 0);
  declare_members(options, config.members);
  declare_device(options, config.device);
}

rewards::AestheticForm form_by_name(const std::string& name) {
  return name == "linear" ? rewards::AestheticForm::kLinear
         : name == "mlp"  ? rewards::AestheticForm::kLinearMlp
                          : rewards::AestheticForm::kReluMlp;
}

nlohmann::ordered_json to_json(const rewards::Agreement& agreement) {
  return {{"spearman", agreement.spearman},
          {"spearman_95", {agreement.spearman_low, agreement.spearman_high}},
          {"pearson", agreement.pearson},
          {"mean_absolute_error", agreement.mean_absolute_error}};
}

// A trained head and the number of its CLIP.
struct Member {
  rewards::TrainedAesthetic trained;
  size_t clip = 0;
};
using Members = std::vector<Member>;

at::Tensor predictions(const Member& member, const RatedImages& rated) {
  return rewards::aesthetic_forward(member.trained.head, rated.embeddings[member.clip]);
}

// The score of a file of these members: their mean. -> [N]
at::Tensor mean_prediction(const Members& members, const RatedImages& rated) {
  std::vector<at::Tensor> all;
  for (const auto& member : members) all.push_back(predictions(member, rated));
  return all.size() == 1 ? all[0] : at::stack(all, 1).mean(1);
}

// Prints how well the members predict images that they were not trained on, and returns it for the
// report.
nlohmann::ordered_json evaluate(const std::string& title,
                                const Members& members,
                                const RatedImages& rated,
                                at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const auto prediction = mean_prediction(members, rated);
  nlohmann::ordered_json json{{"images", prediction.size(0)}};
  const auto compare = [&](const std::string& with, const at::Tensor& target) {
    const auto found = rewards::agreement(prediction, target, kResamples, generator);
    json[with] = to_json(found);
    for (const auto& member : members) {
      if (members.size() > 1)
        json[with]["spearman_of_members"].push_back(
            rewards::spearman(predictions(member, rated), target));
    }
    std::cout << title << " against the " << with << ": Spearman " << found.spearman
              << " (95 %: " << found.spearman_low << " to " << found.spearman_high << "), Pearson "
              << found.pearson << ", mean absolute error " << found.mean_absolute_error << "\n";
  };
  compare("ratings", rated.ratings);
  if (rated.preference.defined()) compare("taste", rated.preference);
  return json;
}

// What the members' file or folder says of itself.
std::map<std::string, std::string> metadata_of(const AestheticCommand& config) {
  std::map<std::string, std::string> metadata{
      {"laurel.kind", "aesthetic"},
      {"laurel.form", config.form},
      {"laurel.synthetic", config.ratings.empty() ? "true" : "false"}};
  if (config.members.members > 1) metadata["laurel.vary"] = config.members.vary;
  if (config.members.label_noise > 0)
    metadata["laurel.label_noise"] = data::formatted("%g", config.members.label_noise);
  return metadata;
}

void save_file(const fs::path& path,
               const std::vector<rewards::AestheticHead>& heads,
               const AestheticCommand& config) {
  data::Weights file = rewards::aesthetic_file(heads);
  for (const auto& [key, value] : metadata_of(config)) file.metadata[key] = value;
  data::write_safetensors(path, file);
}

// One file, or of several CLIPs a folder with a file for each.
void save(const Members& members,
          const std::vector<fs::path>& clips,
          const AestheticCommand& config) {
  std::vector<rewards::AestheticHead> heads;
  for (const auto& member : members) heads.push_back(member.trained.head);
  if (clips.size() < 2) return save_file(config.output, heads, config);
  const fs::path folder = config.output;
  std::vector<rewards::ListedMember> list;
  for (size_t m = 0; m < members.size(); ++m) {
    const fs::path file = folder / (std::to_string(m + 1) + ".safetensors");
    save_file(file, {heads[m]}, config);
    list.push_back({file, clips[m]});
  }
  rewards::write_member_list(folder, list);
}

rewards::TrainedAesthetic train(const at::Tensor& embeddings,
                                const at::Tensor& ratings,
                                const AestheticCommand& config,
                                at::Generator& generator) {
  Progress progress("Training", config.training.epochs, "epoch");
  return rewards::train_aesthetic(embeddings, ratings, config.training, generator,
                                  [&](int64_t, double training, double validation) {
                                    std::ostringstream note;
                                    note << std::setprecision(3) << "error=" << training
                                         << ", held back=" << validation;
                                    progress.advance(1, note.str());
                                  });
}

// All members see the same ratings, wrong ones included.
Members train_members(const RatedImages& rated,
                      const AestheticCommand& config,
                      at::Generator& generator) {
  const double noise = config.members.label_noise;
  const at::Tensor ratings =
      noise > 0 ? rewards::with_swapped_ratings(rated.ratings, noise, generator) : rated.ratings;
  Members members;
  for (int64_t m = 0; m < config.members.members; ++m) {
    const size_t clip = rated.embeddings.size() > 1 ? static_cast<size_t>(m) : 0;
    auto own = m == 0 ? generator : at::detail::createCPUGenerator(seed_of_member(config.seed, m));
    members.push_back({train(rated.embeddings[clip], ratings, config, own), clip});
  }
  return members;
}

nlohmann::ordered_json facts_of(const Members& members) {
  nlohmann::ordered_json facts = nlohmann::ordered_json::array();
  for (const auto& member : members)
    facts.push_back({{"best_epoch", member.trained.best_epoch},
                     {"validation_error", member.trained.validation_error}});
  return facts;
}

// The ratings of a file: nine in ten train.
nlohmann::ordered_json run_on_ratings(const Clips& clips,
                                      const AestheticCommand& config,
                                      at::Generator& generator,
                                      Members& members) {
  nlohmann::ordered_json report;
  const RatedImages all = read_rated_images(config.ratings, clips);
  const auto order = at::randperm(all.ratings.size(0), generator, at::kLong);
  const int64_t held = std::max<int64_t>(2, order.size(0) / 10);
  members = train_members(rows_of(all, order.slice(0, held)), config, generator);
  report["held_out"] =
      evaluate("held-out images", members, rows_of(all, order.slice(0, 0, held)), generator);
  report["unreadable"] = all.unreadable;
  return report;
}

nlohmann::ordered_json run_on_world(const Clips& clips,
                                    const AestheticCommand& config,
                                    at::Generator& generator,
                                    Members& members) {
  nlohmann::ordered_json report;
  const RatingSimulation simulation{.clips = clips,
                                    .raters = config.raters,
                                    .biases = rewards::draw_biases(config.raters, generator),
                                    .generator = generator};
  const auto drawn = [&](int64_t count, world::Split split, const std::string& title) {
    return simulated_images(simulation, count, split, title);
  };
  members = train_members(drawn(config.images, world::Split::kSeen, "Training scenes"), config,
                          generator);
  report["best_epoch"] = members[0].trained.best_epoch;
  report["seen"] =
      evaluate("fresh seen scenes", members,
               drawn(config.held_out, world::Split::kSeen, "Held-out scenes"), generator);
  report["unseen"] =
      evaluate("unseen combinations", members,
               drawn(config.held_out, world::Split::kUnseen, "Unseen scenes"), generator);
  return report;
}

// Throws BadInput for what does not fit together. -> the CLIPs of --clips
std::vector<fs::path> check(AestheticCommand& config) {
  if (config.output.empty())
    throw BadInput("--output: expected a file to write, as aesthetic.safetensors, found nothing");
  if (config.raters.ratings > config.raters.raters)
    throw BadInput("--raters_an_image: expected at most --raters (" +
                   std::to_string(config.raters.raters) + "), found " +
                   std::to_string(config.raters.ratings));
  config.training.form = form_by_name(config.form);
  config.training.bootstrap = config.members.vary == "data";
  const auto clips = clips_of_members(config.members);
  const fs::path output = config.output;
  if (!clips.empty() && (output.extension() == ".safetensors" || fs::is_regular_file(output)))
    throw BadInput("--output " + config.output +
                   ": members of different CLIPs do not fit one file; name a folder");
  if (clips.empty() && fs::is_directory(output))
    throw BadInput("--output " + config.output + ": expected a file to write, found a folder");
  return clips;
}

int train_aesthetic_command(const std::vector<std::string>& arguments) {
  AestheticCommand config;
  Options options("train-reward aesthetic",
                  "Trains LAION's aesthetic head on ratings of images, given or simulated.");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel train-reward aesthetic: unexpected '" + parsed.positional[0] + "'");
  auto folders = check(config);
  const Placement placement = open_device(config.device);
  const auto sources = reward_sources({.clip = config.clip}, placement.device);
  if (folders.empty()) folders = {sources.clip};
  if (folders[0].empty()) throw BadInput("--clip: no embedded CLIP found; name a CLIP folder");
  Clips clips;
  for (const auto& folder : folders)
    clips.push_back(rewards::load_clip_embedder(folder, placement.device));
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  Members members;
  nlohmann::ordered_json report = config.ratings.empty()
                                      ? run_on_world(clips, config, generator, members)
                                      : run_on_ratings(clips, config, generator, members);
  save(members, folders, config);
  report["synthetic"] = config.ratings.empty();
  report["form"] = config.form;
  if (members.size() > 1) report["members"] = facts_of(members);
  if (members.size() > 1) report["vary"] = config.members.vary;
  if (config.members.label_noise > 0) report["label_noise"] = config.members.label_noise;
  data::write_file(config.output + ".json", data::to_text(report, 2) + "\n");
  data::write_file(config.output + ".toml", options.resolved());
  std::cout << "wrote " << config.output << ", its report (.json) and settings (.toml)\n";
  const int64_t unreadable = report.value("unreadable", int64_t{0});
  if (unreadable == 0) return 0;
  data::log_error(std::to_string(unreadable) + " rated images left out, see above");
  return kBadInput;
}

}  // namespace

const Command kTrainAesthetic{"aesthetic", "LAION's head on ratings of images",
                              train_aesthetic_command};

}  // namespace tools
