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
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "data/images/captions.hpp"
#include "data/images/image_io.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/evaluation/agreement.hpp"
#include "rewards/scorers/train_aesthetic.hpp"
#include "rewards/world/rater_preference.hpp"
#include "rewards/world/simulated_ratings.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/progress.hpp"
#include "tools/cli/reward_options.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr int64_t kResamples = 1000;          // of the bootstrap
constexpr int64_t kPiece = 256;               // images embedded at once
constexpr double kLowest = 1, kHighest = 10;  // LAION's scale of ratings

struct AestheticCommand {
  std::string clip, output, ratings;
  std::string form = "mlp";
  int64_t images = 12000, held_out = 2000, seed = 0;
  rewards::RaterOptions raters;
  rewards::AestheticTraining training;
  DeviceConfig device;
};

// Embedded images with their ratings, and the raters' preference where it is known.
struct RatedImages {
  at::Tensor embeddings;   // [N, D]
  at::Tensor ratings;      // [N] the mean over raters
  at::Tensor preference;   // [N] without bias and noise, or undefined
  int64_t unreadable = 0;  // images that were left out
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
  declare_device(options, config.device);
}

rewards::AestheticForm form_by_name(const std::string& name) {
  return name == "linear" ? rewards::AestheticForm::kLinear
         : name == "mlp"  ? rewards::AestheticForm::kLinearMlp
                          : rewards::AestheticForm::kReluMlp;
}

// What simulated ratings are drawn from.
struct RatingSimulation {
  rewards::ClipEmbedder& clip;
  const rewards::RaterOptions& raters;
  at::Tensor biases;  // [raters]
  at::Generator& generator;
};

RatedImages simulate(const RatingSimulation& simulation,
                     int64_t count,
                     world::Split split,
                     const std::string& title) {
  const at::NoGradGuard no_grad;
  Progress progress(title, count, "img");
  std::vector<at::Tensor> embeddings, preferences;
  for (int64_t done = 0; done < count; done += kPiece) {
    const auto drawn =
        world::random_batch(std::min(kPiece, count - done), split, simulation.generator);
    const auto images = rewards::degrade(drawn.images, simulation.generator);
    embeddings.push_back(simulation.clip.images(images).cpu());
    preferences.push_back(rewards::rater_preference(images));
    progress.advance(images.size(0));
  }
  RatedImages rated{
      .embeddings = at::cat(embeddings), .ratings = {}, .preference = at::cat(preferences)};
  rated.ratings = rewards::simulate_ratings(rated.preference, simulation.biases, simulation.raters,
                                            simulation.generator);
  return rated;
}

struct MeanRating {
  double sum = 0;
  int64_t count = 0;
};

void check_count(const fs::path& path, size_t images) {
  constexpr size_t kFewest = 25;
  if (images < kFewest)
    throw BadInput(path.string() + ": expected ratings of at least 25 readable images, found " +
                   std::to_string(images));
}

// Mean rating of each image; paths are relative to the file.
std::map<fs::path, MeanRating> read_ratings(const fs::path& path) {
  std::map<fs::path, MeanRating> ratings;
  data::for_each_line(path, [&](const std::string& line, const std::string& where) {
    const auto json = data::parse_json_object(line, where);
    if (!json.contains("image") || !json["image"].is_string() || !json.contains("rating") ||
        !json["rating"].is_number()) {
      throw BadInput(where +
                     ": expected an object with \"image\" (a path) and \"rating\" (a number)");
    }
    const double value = json["rating"].get<double>();
    if (!(value >= kLowest && value <= kHighest))
      throw BadInput(where + ": rating: expected a number from 1 to 10, found " +
                     data::to_text(json["rating"]) + "; scale the ratings first");
    MeanRating& rating =
        ratings[data::listed_file(path.parent_path(), json["image"].get<std::string>())];
    rating.sum += value;
    ++rating.count;
  });
  check_count(path, ratings.size());
  return ratings;
}

RatedImages embed_ratings(const fs::path& path, rewards::ClipEmbedder& clip) {
  const at::NoGradGuard no_grad;
  const auto ratings = read_ratings(path);
  Progress progress("Embedding", static_cast<int64_t>(ratings.size()), "img");
  RatedImages rated;
  std::vector<at::Tensor> embeddings;
  std::vector<double> means;
  for (const auto& [image, rating] : ratings) {
    try {
      embeddings.push_back(clip.images(data::read_image(image).unsqueeze(0)).cpu());
      means.push_back(rating.sum / static_cast<double>(rating.count));
    } catch (const BadInput& error) {
      progress.print_fault(error.what());
      ++rated.unreadable;
    }
    progress.advance();
  }
  check_count(path, embeddings.size());
  rated.embeddings = at::cat(embeddings);
  rated.ratings = at::tensor(means, at::kFloat);
  return rated;
}

RatedImages rows_of(const RatedImages& rated, const at::Tensor& rows) {
  return {rated.embeddings.index_select(0, rows), rated.ratings.index_select(0, rows), {}};
}

nlohmann::ordered_json to_json(const rewards::Agreement& agreement) {
  return {{"spearman", agreement.spearman},
          {"spearman_95", {agreement.spearman_low, agreement.spearman_high}},
          {"pearson", agreement.pearson},
          {"mean_absolute_error", agreement.mean_absolute_error}};
}

// Prints how well the head predicts images that it was not trained on, and returns it for the
// report.
nlohmann::ordered_json evaluate(const std::string& title,
                                const rewards::AestheticHead& head,
                                const RatedImages& rated,
                                at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const auto prediction = rewards::aesthetic_forward(head, rated.embeddings);
  nlohmann::ordered_json json{{"images", prediction.size(0)}};
  const auto compare = [&](const std::string& with, const at::Tensor& target) {
    const auto found = rewards::agreement(prediction, target, kResamples, generator);
    json[with] = to_json(found);
    std::cout << title << " against the " << with << ": Spearman " << found.spearman
              << " (95 %: " << found.spearman_low << " to " << found.spearman_high << "), Pearson "
              << found.pearson << ", mean absolute error " << found.mean_absolute_error << "\n";
  };
  compare("ratings", rated.ratings);
  if (rated.preference.defined()) compare("taste", rated.preference);
  return json;
}

void save(const fs::path& path,
          const rewards::AestheticHead& head,
          const AestheticCommand& config) {
  data::Weights file = data::collect(head, "", at::kHalf);
  file.metadata["laurel.kind"] = "aesthetic";
  file.metadata["laurel.form"] = config.form;
  file.metadata["laurel.synthetic"] = config.ratings.empty() ? "true" : "false";
  data::write_safetensors(path, file);
}

rewards::TrainedAesthetic train(const RatedImages& rated,
                                const AestheticCommand& config,
                                at::Generator& generator) {
  Progress progress("Training", config.training.epochs, "epoch");
  return rewards::train_aesthetic(rated.embeddings, rated.ratings, config.training, generator,
                                  [&](int64_t, double training, double validation) {
                                    std::ostringstream note;
                                    note << std::setprecision(3) << "error=" << training
                                         << ", held back=" << validation;
                                    progress.advance(1, note.str());
                                  });
}

nlohmann::ordered_json run(rewards::ClipEmbedder& clip,
                           const AestheticCommand& config,
                           at::Generator& generator) {
  nlohmann::ordered_json report;
  if (!config.ratings.empty()) {
    const RatedImages all = embed_ratings(config.ratings, clip);
    const auto order = at::randperm(all.ratings.size(0), generator, at::kLong);
    const int64_t held = std::max<int64_t>(2, order.size(0) / 10);
    const auto trained = train(rows_of(all, order.slice(0, held)), config, generator);
    report["held_out"] =
        evaluate("held-out images", trained.head, rows_of(all, order.slice(0, 0, held)), generator);
    save(config.output, trained.head, config);
    report["unreadable"] = all.unreadable;
    return report;
  }
  const RatingSimulation simulation{.clip = clip,
                                    .raters = config.raters,
                                    .biases = rewards::draw_biases(config.raters, generator),
                                    .generator = generator};
  const auto drawn = [&](int64_t count, world::Split split, const std::string& title) {
    return simulate(simulation, count, split, title);
  };
  const auto trained =
      train(drawn(config.images, world::Split::kSeen, "Training scenes"), config, generator);
  report["best_epoch"] = trained.best_epoch;
  report["seen"] =
      evaluate("fresh seen scenes", trained.head,
               drawn(config.held_out, world::Split::kSeen, "Held-out scenes"), generator);
  report["unseen"] =
      evaluate("unseen combinations", trained.head,
               drawn(config.held_out, world::Split::kUnseen, "Unseen scenes"), generator);
  save(config.output, trained.head, config);
  return report;
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
  if (config.output.empty())
    throw BadInput("--output: expected a file to write, as aesthetic.safetensors, found nothing");
  if (config.raters.ratings > config.raters.raters)
    throw BadInput("--raters_an_image: expected at most --raters (" +
                   std::to_string(config.raters.raters) + "), found " +
                   std::to_string(config.raters.ratings));
  config.training.form = form_by_name(config.form);
  const Placement placement = open_device(config.device);
  const auto sources = reward_sources({.clip = config.clip}, placement.device);
  if (sources.clip.empty()) throw BadInput("--clip: no embedded CLIP found; name a CLIP folder");
  const auto clip = rewards::load_clip_embedder(sources.clip, placement.device);
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  nlohmann::ordered_json report = run(*clip, config, generator);
  report["synthetic"] = config.ratings.empty();
  report["form"] = config.form;
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
