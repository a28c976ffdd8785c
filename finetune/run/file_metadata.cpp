#include "finetune/run/file_metadata.hpp"

#include <ATen/ATen.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/base/base64.hpp"
#include "data/base/format.hpp"
#include "data/base/json.hpp"
#include "data/images/image_io.hpp"
#include "data/train/events.hpp"
#include "diffusion/checkpoints/model_spec.hpp"
#include "diffusion/families/families.hpp"
#include "finetune/run/score_prompt.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr int kThumbnailQuality = 75;          // JPEG
constexpr int64_t kThumbnailSide = 256;        // pixels: what the specification recommends
constexpr size_t kLongestThumbnail = 1 << 16;  // bytes: a header stays quick to read

// The last evaluation's first image; "" before there is one.
std::string thumbnail(const TrainingRun& run) {
  const fs::path file =
      run.options.folder / "samples" / ("step-" + std::to_string(run.optimizer.step)) / "0000.png";
  if (!fs::exists(file)) return "";
  at::Tensor image = data::read_image(file);  // [3, H, W] in [0, 1]
  const int64_t longest = std::max(image.size(1), image.size(2));
  if (longest > kThumbnailSide) {
    const auto scaled = [&](int64_t side) {
      return std::max<int64_t>(1, side * kThumbnailSide / longest);
    };
    image = at::adaptive_avg_pool2d(image.unsqueeze(0),
                                    {scaled(image.size(1)), scaled(image.size(2))})[0];
  }
  const std::string jpeg = data::encode_jpeg(image, kThumbnailQuality);
  return jpeg.size() > kLongestThumbnail ? "" : "data:image/jpeg;base64," + data::base64(jpeg);
}

// A prompt that asks for the highest score.
std::string asking(const std::string& prompt) { return score_prompt(kHighestScore, prompt); }

std::string usage_hint(const TrainingRun& run) {
  const SampleCaption& caption = run.hooks.caption;
  if (caption.sampler.empty()) return "";
  const std::string words = asks_for_scores(run.task.config_text)
                                ? "For the most reward write " + asking("PROMPT") + "."
                                : "No trigger words.";
  return data::formatted("%s Evaluated with %s, %.0f steps, guidance scale %g.", words.c_str(),
                         caption.sampler.c_str(), static_cast<double>(caption.steps),
                         caption.guidance_scale);
}

nlohmann::ordered_json weights_of(const TrainingRun& run) {
  auto weights = nlohmann::ordered_json::object();
  for (const auto& reward : run.task.rewards) weights[reward.reward.info.name] = reward.weight;
  return weights;
}

// "stable-diffusion-v1", or with "/lora" behind it.
std::string architecture(const TrainingRun& run) {
  const auto traits = diffusion::traits(run.unet);
  const std::string lora =
      diffusion::family_of_network(traits.context_width, traits.reads_time_ids, false).architecture;
  const bool adapters = !run.config.train_full && !run.hooks.export_full;
  return adapters ? lora : lora.substr(0, lora.rfind('/'));
}

}  // namespace

std::string text_option(const std::string& config_text, const std::string& key) {
  for (const auto& [name, value] : data::parameters_of(config_text)) {
    if (name != key) continue;
    const auto text = data::parse_json(value);  // TOML's text between double quotes is JSON's
    if (text.is_string()) return text.get<std::string>();
    const bool literal = value.size() >= 2 && value.front() == '\'' && value.back() == '\'';
    return literal ? value.substr(1, value.size() - 2) : value;
  }
  return "";
}

bool asks_for_scores(const std::string& config_text) {
  return text_option(config_text, "condition") == kScoreCondition;
}

std::map<std::string, std::string> file_metadata(const TrainingRun& run) {
  const TrainingTask& task = run.task;
  const auto told = [&](const char* key) { return text_option(task.config_text, key); };
  const auto or_else = [](const std::string& text, const std::string& other) {
    return text.empty() ? other : text;
  };
  const bool scores = asks_for_scores(task.config_text);
  const std::string name = fs::absolute(run.options.folder).filename().string(),
                    rewards = data::to_text(weights_of(run));
  const std::string trained =
      "Trained by laurel with `" + run.hooks.command + "` on " +
      fs::path(task.model).filename().string() +
      (task.rewards.empty() ? "" : " to earn more of the rewards " + rewards) +
      data::formatted(": %.0f updates", static_cast<double>(run.optimizer.step)) +
      (task.synthetic ? ". Model and data are synthetic." : ".");
  auto metadata = diffusion::model_spec_metadata(
      {.architecture = architecture(run),
       .title = or_else(told("metadata_title"), name),
       .description = or_else(told("metadata_description"), trained),
       .author = told("metadata_author"),
       .license = told("metadata_license"),
       .usage_hint = usage_hint(run),
       .trigger_phrase = scores ? score_words(kHighestScore) : "",
       .tags = or_else(told("metadata_tags"), "laurel, reward-finetuning"),
       .thumbnail = thumbnail(run),
       .prediction_type = diffusion::prediction_name(task.pipeline->scheduler.prediction_type),
       .resolution = vae_factor(task) * task.latent_shape[1]});
  if (!task.rewards.empty()) metadata["laurel.rewards"] = rewards;
  if (scores) metadata["laurel.prompt_form"] = asking("{prompt}");
  return metadata;
}

}  // namespace finetune
