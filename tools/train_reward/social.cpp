// `laurel train-reward social`: a community's log -> pairs -> a finetuned CLIP.

#include "tools/train_reward/social.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <array>
#include <cmath>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_folder.hpp"
#include "data/storage/sha256.hpp"
#include "data/text/clip_tokenizer_files.hpp"
#include "data/train/lr_schedule.hpp"
#include "rewards/clip/embedder.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/social/preference_pairs.hpp"
#include "rewards/social/train.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/pretrain/options.hpp"
#include "tools/train_reward/member_options.hpp"
#include "tools/train_reward/social_evaluate.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

struct SocialCommand {
  std::string log, output_dir, correction = "all";
  std::vector<std::string> exams;
  RewardSourceConfig sources;
  rewards::CurateOptions curate;
  rewards::TrainSocialOptions train;
  int64_t epochs = 10;
  double validation_share = 0.1;
  MemberConfig members;
};

constexpr std::array<const char*, 4> kCorrections = {"counts", "views", "position", "all"};

void declare_curation(Options& options, SocialCommand& s) {
  options.group("from the log to pairs");
  options.choice("correction", s.correction, {kCorrections.begin(), kCorrections.end()},
                 "counts: people; views: per view; position: views weighted by position; "
                 "all: and by displayed popularity");
  options.integer("min_users", s.curate.min_users, "an image counts when so many people saw it", 1,
                  1000000);
  options.rare().number("max_positive_share", s.curate.max_positive_share,
                        "people who act on more of what they see are left out", 0, 1);
  options.rare().integer("min_views_of_user", s.curate.min_views_of_user,
                         "views of a user from which that applies", 1, 1000000);
  options.rare().number("reuse_weight", s.curate.reuse_weight, "of a reuse; a like counts 1", 1,
                        1000);
  options.rare().number("min_ratio", s.curate.min_ratio, "of the two rates of a pair", 1, 1000);
  options.rare().number("min_deviations", s.curate.min_deviations, "of that ratio's logarithm", 0,
                        100);
  options.integer("pairs_a_prompt", s.curate.pairs_a_prompt, "at most, the surest ones", 1,
                  1000000);
}

void declare(Options& options, SocialCommand& s) {
  options.text("log", s.log,
               "JSONL: time, user, prompt, image, action, position (docs/rewards.md)");
  options.text("output_dir", s.output_dir, "folder for reward/, its report and the training state");
  options.text("clip", s.sources.clip, "CLIP folder to start from [embedded]");
  options.list("exam", s.exams, "folder with survey.jsonl (and log.jsonl) to evaluate on; several");
  declare_curation(options, s);
  options.group("training");
  options.integer("epochs", s.epochs, "passes over the pairs", 1, 100000);
  options.integer("train_batch_size", s.train.loop.train_batch_size, "pairs of an update", 1,
                  65536);
  options.number("learning_rate", s.train.loop.learning_rate, "AdamW's", 0, 1);
  options.choice("lr_scheduler", s.train.lr_scheduler, train::lr_schedule_names(),
                 "how the learning rate falls");
  options.rare().integer("lr_warmup_steps", s.train.loop.lr_warmup_steps, "updates", 0, 1000000000);
  options.rare().number("weight_decay", s.train.loop.weight_decay, "of AdamW", 0, 10);
  options.rare().number("max_grad_norm", s.train.loop.max_grad_norm, "gradients are clipped to it",
                        1e-9, 1e9);
  options.number("ema_decay", s.train.loop.ema_decay, "0: the last weights are kept", 0, 0.999999);
  options.number("margin", s.train.margin, "of the triplet loss; a cosine margin of its half", 0,
                 4);
  options.integer("vision_layers", s.train.layers.vision, "last ones trained; -1: the whole tower",
                  -1, 1000);
  options.integer("text_layers", s.train.layers.text, "last ones trained; -1: the whole tower", -1,
                  1000);
  options.number("validation_share", s.validation_share, "of the prompts, held out", 0, 0.9);
  options.integer("seed", s.train.loop.seed, "of the order of the pairs", 0);
  declare_progress(options, s.train.loop);
  declare_members(options, s.members);
}

// Held out by a hash of the prompt, so that no prompt is in both sets, whatever the log's order.
bool held_out(const std::string& prompt, double share) {
  return std::stoull(data::sha256(prompt).substr(0, 8), nullptr, 16) < share * 4294967296.0;
}

rewards::TripletSet triplets_of(const rewards::SocialLog& log,
                                const rewards::CuratedLog& curated,
                                int64_t resolution,
                                double validation_share) {
  std::vector<fs::path> files;
  for (const auto& image : log.images) files.push_back(image.file);
  const auto folder =
      std::make_shared<data::ImageFolder>(data::open_images(std::move(files), resolution));
  rewards::TripletSet set{.prompts = log.prompts, .images = [folder](const at::Tensor& rows) {
                            return data::folder_images(*folder, rows);
                          }};
  std::ostringstream text;
  for (const auto& pair : curated.pairs) {
    const std::string& prompt = log.prompts[static_cast<size_t>(pair.prompt)];
    (held_out(prompt, validation_share) ? set.validation : set.training)
        .push_back({pair.prompt, pair.preferred, pair.other});
    text << prompt << '\t' << log.images[static_cast<size_t>(pair.preferred)].file << '\t'
         << log.images[static_cast<size_t>(pair.other)].file << '\n';
  }
  set.digest = data::sha256(text.str());
  return set;
}

void print_curation(const rewards::SocialLog& log, const rewards::CuratedLog& curated) {
  std::cout << data::formatted(
      "%zu events, %zu people (%lld left out: they act on nearly everything), %lld repeats not "
      "counted\n%zu images (%lld seen by too few), %zu prompts, %zu pairs\n",
      log.events.size(), log.users.size(), static_cast<long long>(curated.users_left_out),
      static_cast<long long>(curated.repeats), log.images.size(),
      static_cast<long long>(curated.images_left_out), log.prompts.size(), curated.pairs.size());
  std::cout << data::formatted("weight of a view at position 1, 2, ..:");
  for (size_t i = 1; i <= 8; ++i) std::cout << data::formatted(" %.2f", curated.position_factor[i]);
  std::cout << data::formatted("\nweight of a view with 0, 1, 2-3, 4-7, .. earlier actions:");
  for (size_t i = 0; i < 8; ++i)
    std::cout << data::formatted(" %.2f", curated.popularity_factor[i]);
  std::cout << data::formatted("\n");
  std::fflush(stdout);
}

// Swaps the two images of a share of the pairs, for studies of wrong labels.
void add_label_noise(std::vector<rewards::Triplet>& pairs, double share, int64_t seed) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  const auto count = static_cast<int64_t>(pairs.size());
  const auto order = at::randperm(count, generator, at::kLong);
  for (int64_t i = 0; i < std::llround(share * static_cast<double>(count)); ++i) {
    auto& pair = pairs[static_cast<size_t>(order[i].item<int64_t>())];
    std::swap(pair.preferred, pair.other);
  }
}

// As many pairs, drawn with replacement.
std::vector<rewards::Triplet> bootstrapped(const std::vector<rewards::Triplet>& pairs,
                                           uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  const auto count = static_cast<int64_t>(pairs.size());
  const auto rows = at::randint(count, {count}, generator, at::kLong);
  std::vector<rewards::Triplet> drawn;
  for (int64_t i = 0; i < count; ++i)
    drawn.push_back(pairs[static_cast<size_t>(rows[i].item<int64_t>())]);
  return drawn;
}

rewards::TripletSet training_set(const SocialCommand& s,
                                 const rewards::SocialLog& log,
                                 const rewards::CuratedLog& curated,
                                 int64_t resolution) {
  auto set = triplets_of(log, curated, resolution, s.validation_share);
  if (set.training.size() < 10)
    throw BadInput(s.log + ": expected at least 10 pairs to learn from, found " +
                   std::to_string(set.training.size()) +
                   "; the log is too small, or min_users and min_deviations are too strict");
  if (s.members.label_noise == 0) return set;
  add_label_noise(set.training, s.members.label_noise, s.train.loop.seed);
  set.digest += data::formatted(" label_noise %g", s.members.label_noise);
  return set;
}

void save(const fs::path& folder,
          const rewards::TrainSocialResult& result,
          const data::Tokenizer& tokenizer,
          const nlohmann::ordered_json& report) {
  rewards::save_clip(folder, result.clip, at::kHalf);
  data::save_tokenizer(folder, tokenizer);
  data::write_file(folder / "reward.json", data::to_text(report, 2) + "\n");
}

nlohmann::ordered_json report_of(const SocialCommand& s,
                                 const rewards::SocialLog& log,
                                 const rewards::CuratedLog& curated,
                                 const rewards::TripletSet& set,
                                 const rewards::TrainSocialResult& result) {
  return {{"kind", "social"},
          {"events", log.events.size()},
          {"people", log.users.size()},
          {"images", log.images.size()},
          {"prompts", log.prompts.size()},
          {"correction", s.correction},
          {"position_factor", curated.position_factor},
          {"popularity_factor", curated.popularity_factor},
          {"training_pairs", set.training.size()},
          {"validation_pairs", set.validation.size()},
          {"data_digest", set.digest},
          {"updates", result.steps},
          {"minutes", result.minutes},
          {"validation_accuracy_before", result.accuracy_before},
          {"validation_accuracy", result.accuracy}};
}

void check(const SocialCommand& s) {
  require_folder("train-reward social", "output_dir", s.output_dir);
  if (s.log.empty())
    throw BadInput(
        "train-reward social: --log: expected a community's log (JSONL), found none; "
        "`laurel world social-log` simulates one");
  if (s.train.layers.vision == 0 && s.train.layers.text == 0)
    throw BadInput("train-reward social: vision_layers and text_layers: expected one above 0");
}

// What all members learn from.
struct SocialData {
  const rewards::SocialLog& log;
  const rewards::CuratedLog& curated;
  const rewards::TripletSet& set;
  const rewards::RewardSources& sources;
};

fs::path member_folder(const SocialCommand& s, const fs::path& folder, int64_t member) {
  return s.members.members == 1 ? folder : folder / std::to_string(member + 1);
}

// Trains one member, or the only reward, from its CLIP and writes it to `folder`.
void train_member(const SocialCommand& s,
                  int64_t member,
                  const std::vector<fs::path>& clips,
                  const SocialData& given,
                  const fs::path& folder) {
  const fs::path& start = clips[clips.size() > 1 ? static_cast<size_t>(member) : 0];
  const auto tokenizer = rewards::load_clip_tokenizer(start);
  rewards::TrainSocialOptions options = s.train;
  const uint64_t seed = seed_of_member(s.train.loop.seed, member);
  options.loop.seed = static_cast<int64_t>(seed);
  options.loop.output_dir = member_folder(s, s.output_dir, member);
  rewards::TripletSet set = given.set;
  if (s.members.vary == "data") {
    set.training = bootstrapped(set.training, seed);
    set.digest += data::formatted(" bootstrap %llu", static_cast<unsigned long long>(seed));
  }
  const auto result =
      rewards::train_social(options, rewards::load_clip(start), tokenizer, set,
                            [](const std::string& line) { std::cout << line << std::endl; });
  auto report = report_of(s, given.log, given.curated, set, result);
  if (s.members.members > 1) report["vary"] = s.members.vary;
  if (s.members.label_noise > 0) report["label_noise"] = s.members.label_noise;
  std::cout << data::formatted("held-out pairs right: %.1f %% before, %.1f %% after %lld updates\n",
                               100 * result.accuracy_before, 100 * result.accuracy,
                               static_cast<long long>(result.steps));
  save(folder, result, tokenizer, report);
  for (const auto& exam : s.exams)
    report["exams"][fs::path(exam).filename().string()] =
        evaluate_social(exam, folder, given.sources, s.curate);
  if (!s.exams.empty()) save(folder, result, tokenizer, report);
}

int train_social_command(const std::vector<std::string>& arguments) {
  SocialCommand s;
  Options options(
      "train-reward social",
      "Finetunes a CLIP on what a community liked and reused, corrected for position and "
      "popularity.");
  declare(options, s);
  if (!options.parse(arguments).proceed) return 0;
  check(s);
  const fs::path output = s.output_dir;
  s.train.loop.output_dir = output;
  s.curate.correction = static_cast<rewards::SocialCorrection>(
      std::find(kCorrections.begin(), kCorrections.end(), s.correction) - kCorrections.begin());
  const auto sources = reward_sources(s.sources, at::kCPU);
  if (sources.clip.empty()) throw BadInput("--clip: no embedded CLIP found; name a CLIP folder");
  auto clips = clips_of_members(s.members);
  if (clips.empty()) clips = {sources.clip};
  const rewards::Clip clip = rewards::load_clip(clips[0]);
  const auto log = rewards::with_views(rewards::read_social_log(s.log));
  const auto curated = rewards::curate(log, s.curate);
  print_curation(log, curated);
  const auto set = training_set(s, log, curated, clip.transform.size);
  const auto batch =
      std::min(s.train.loop.train_batch_size, static_cast<int64_t>(set.training.size()));
  s.train.loop.max_train_steps = s.epochs * (static_cast<int64_t>(set.training.size()) / batch);
  train::LoopOptions first = s.train.loop;
  first.output_dir = member_folder(s, output, 0);
  train::check_output(first);
  data::write_file(output / "config.toml", options.resolved());
  std::vector<rewards::ListedMember> list;
  for (int64_t m = 0; m < s.members.members; ++m) {
    const fs::path folder = member_folder(s, output / "reward", m);
    train_member(s, m, clips, {log, curated, set, sources}, folder);
    list.push_back({folder, {}});
  }
  if (list.size() == 1) list.clear();  // the folder is the reward
  rewards::write_member_list(output / "reward", list);
  std::cout << "wrote " << (output / "reward").string() << "\n";
  return 0;
}

}  // namespace

const Command kTrainSocial{"social", "a CLIP on a community's log of views, likes and reuses",
                           train_social_command};

}  // namespace tools
