// `laurel train-reward examples`: a handful of pictures -> a reward.

#include "tools/train_reward/examples.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/log.hpp"
#include "data/images/image_files.hpp"
#include "data/storage/folder_lock.hpp"
#include "data/world/scene.hpp"
#include "rewards/pairs/examples.hpp"
#include "rewards/pairs/files.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/options.hpp"
#include "tools/train_reward/embedded_pictures.hpp"
#include "tools/train_reward/reward_folder.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr int64_t kFewestPictures = 3, kMostPictures = 1000, kFewestBackground = 16;
constexpr int64_t kMostBackground = 100000;
constexpr int64_t kScenes = 256;  // of the built-in world
constexpr double kWeak = 0.7;     // an AUC whose interval reaches it is called weak

struct ExamplesCommand {
  std::vector<std::string> like, dislike, background;
  std::string output, clip, embedder;
  rewards::ExampleOptions fit;
  int64_t batch_size = 16, seed = 0;
  DeviceConfig device;
};

void declare(Options& options, ExamplesCommand& config) {
  options.list("like", config.like, "folder of 3 to 50 pictures to be like; several");
  options.list("dislike", config.dislike, "folder of pictures to be unlike (3 or more); several");
  options.list("background", config.background,
               "folder of pictures of all kinds [scenes of the built-in world]");
  options.text("output", config.output, "folder for the reward, its card and report");
  options.short_name("output", 'o');
  options.text("clip", config.clip, "CLIP folder, Hugging Face's layout [embedded]");
  options.text("embedder", config.embedder, "any CLIP: PATH;act=..;tokenizer=.. [that of --clip]");
  options.rare().integer("axes", config.fit.axes, "of the embedding that are kept", 1, 4096);
  options.rare().number("shrinkage", config.fit.shrinkage,
                        "examples' worth of common variance in each variance", 0.01, 1e6);
  options.rare().integer("batch_size", config.batch_size, "images at once", 1, 4096);
  options.integer("seed", config.seed, "of the scenes", 0);
  declare_device(options, config.device);
}

struct Pictures {
  at::Tensor embeddings;  // [N, D] fp64
  std::vector<std::string> left_out;
};

// Where the least and the largest number of pictures are allowed.
struct Count {
  const char* option;
  int64_t least, most;
};

Pictures embed(const std::vector<std::string>& places,
               const Count& count,
               const std::shared_ptr<rewards::ClipEmbedder>& clip,
               const ScoringOptions& options) {
  if (places.empty()) return {at::zeros({0, clip->width()}, at::kDouble), {}};
  std::vector<ScoreJob> jobs;
  for (const auto& file : data::list_images(places))
    jobs.push_back({.path = file, .prompt = "", .row = jobs.size()});
  const auto check = [&](int64_t found, const char* what) {
    if (found < count.least || found > count.most)
      throw BadInput(std::string(count.option) + ": expected " + std::to_string(count.least) +
                     " to " + std::to_string(count.most) + what + ", found " +
                     std::to_string(found));
  };
  check(static_cast<int64_t>(jobs.size()), " pictures");
  const auto pictures = embed_pictures(std::move(jobs), clip, {}, options);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < pictures.read.size(); ++i) {
    if (pictures.read[i]) rows.push_back(static_cast<int64_t>(i));
  }
  check(static_cast<int64_t>(rows.size()), " readable pictures");
  return {pictures.embeddings.index_select(0, at::tensor(rows, at::kLong)), pictures.faults};
}

at::Tensor embed_scenes(rewards::ClipEmbedder& clip, int64_t seed) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  const auto drawn = world::random_batch(kScenes, world::Split::kSeen, generator);
  return clip.images(drawn.images).to(at::kCPU, at::kDouble);
}

struct ExampleInput {
  Pictures likes, dislikes, background;

  std::vector<std::string> left_out() const {
    std::vector<std::string> all;
    for (const auto& pictures : {likes, dislikes, background})
      all.insert(all.end(), pictures.left_out.begin(), pictures.left_out.end());
    return all;
  }
};

ExampleInput embed_all(const ExamplesCommand& config,
                       const std::shared_ptr<rewards::ClipEmbedder>& clip,
                       const ScoringOptions& scoring) {
  const auto of = [&](const std::vector<std::string>& places, const Count& count) {
    return embed(places, count, clip, scoring);
  };
  ExampleInput input{
      .likes = of(config.like, {"--like", kFewestPictures, kMostPictures}),
      .dislikes = of(config.dislike, {"--dislike", kFewestPictures, kMostPictures}),
      .background = of(config.background, {"--background", kFewestBackground, kMostBackground})};
  if (config.background.empty()) input.background.embeddings = embed_scenes(*clip, config.seed);
  return input;
}

nlohmann::ordered_json report_of(const ExampleInput& input,
                                 const rewards::Examples& fitted,
                                 const rewards::Interval& auc,
                                 bool own_background) {
  return {{"kind", "examples"},
          {"likes", input.likes.embeddings.size(0)},
          {"dislikes", input.dislikes.embeddings.size(0)},
          {"background", input.background.embeddings.size(0)},
          {"background_of", own_background ? "pictures" : "built-in world"},
          {"axes", fitted.axes.size(0)},
          {"left_out_auc", share_json(auc)},
          {"cap", fitted.cap},
          {"left_out", input.left_out()}};
}

std::string card_text(const nlohmann::ordered_json& report, const rewards::Interval& auc) {
  const auto number = [&](const char* key) { return std::to_string(report[key].get<int64_t>()); };
  return "How like " + number("likes") + " pictures an image is, rather than " +
         (report["dislikes"] == 0 ? "the " + number("background") + " pictures of all kinds"
                                  : number("dislikes") + " that are disliked") +
         ": Gaussian naive Bayes on " + number("axes") +
         " whitened axes of the CLIP image embedding (after Sermanet et al. 2017), at most what "
         "the examples score without being learnt from.\n\nA left-out example scores above a "
         "left-out other picture in " +
         share_text(auc) + " of cases (95 % interval: bootstrap over the examples).\n" +
         (report["background_of"] == "built-in world"
              ? "\nThe pictures of all kinds were scenes of the built-in world (synthetic).\n"
              : "");
}

int print_result(const ExamplesCommand& config,
                 const ExampleInput& input,
                 const rewards::Interval& auc) {
  std::cout << input.likes.embeddings.size(0) << " likes, " << input.dislikes.embeddings.size(0)
            << " dislikes, " << input.background.embeddings.size(0)
            << " background pictures; left-out AUC " << share_text(auc) << "\n";
  if (auc.low < kWeak)
    data::log_warning(
        "the pictures are too few or too mixed: the interval of the left-out AUC begins below 70 "
        "%");
  std::cout << "wrote " << config.output << "; use it by --define 'mine=examples:" << config.output
            << "'\n";
  const size_t left_out = input.left_out().size();
  if (left_out == 0) return 0;
  data::log_error(std::to_string(left_out) + " pictures left out, see above");
  return kBadInput;
}

int train_examples_command(const std::vector<std::string>& arguments) {
  ExamplesCommand config;
  Options options("train-reward examples",
                  "Learns from a few pictures what is alike in them, as a reward.");
  declare(options, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel train-reward examples: unexpected '" + parsed.positional[0] + "'");
  if (config.like.empty()) throw BadInput("--like: expected a folder of pictures, found none");
  check_reward_folder("train-reward examples", config.output);
  const Placement placement = open_device(config.device);
  const PrecisionScope precision(placement);
  const at::NoGradGuard no_grad;
  const auto clip =
      head_clip(config.embedder, reward_sources({.clip = config.clip}, placement.device));
  const ExampleInput input =
      embed_all(config, clip, {.batch_size = config.batch_size, .device = placement.device});
  const auto& [likes, dislikes, background] = input;
  auto fitted = rewards::fit_examples(likes.embeddings, dislikes.embeddings, background.embeddings,
                                      config.fit);
  fitted.fingerprint = clip->images(rewards::clip_test_image())[0].cpu();
  const auto auc = rewards::left_out_auc(likes.embeddings, dislikes.embeddings,
                                         background.embeddings, config.fit);
  const auto report = report_of(input, fitted, auc, !config.background.empty());
  const data::FolderLock lock(config.output);
  rewards::save_examples(config.output, fitted);
  write_card(config.output,
             {.family = "examples", .settings = "", .description = card_text(report, auc)}, report,
             options.resolved());
  return print_result(config, input, auc);
}

}  // namespace

const Command kTrainExamples{"examples", "likeness to a handful of pictures",
                             train_examples_command};

}  // namespace tools
