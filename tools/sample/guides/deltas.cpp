#include "tools/sample/guides/deltas.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/sampling/delta_guidance.hpp"
#include "tools/cli/models.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr double kMostStrength = 10;
constexpr double kLevelTolerance = 1e-6;  // of abar between two schedules

// "FILE" or "FILE=0.8".
struct NamedDelta {
  fs::path path;
  double strength = 1;
};

NamedDelta parse_delta(const std::string& text) {
  NamedDelta named{.path = text};
  std::error_code error;
  const size_t equals = text.rfind('=');
  if (equals != std::string::npos && !fs::exists(text, error)) {
    const std::string word = text.substr(equals + 1);
    const auto value = data::number_of<double>(word);
    if (!value || !(std::abs(*value) <= kMostStrength))
      throw BadInput("--delta: " + text + ": expected a strength in [-10, 10], found '" + word +
                     "'");
    named = {text.substr(0, equals), *value};
  }
  if (!fs::exists(named.path, error))
    throw BadInput("--delta: " + named.path.string() +
                   ": expected a LoRA, a network's folder or a model's, found no such file");
  return named;
}

diffusion::Pipeline named_model(const std::string& path) {
  ModelConfig config;
  config.model = path;
  return open_model(config);
}

// The base with the change: a whole model, another network, or a LoRA.
diffusion::Pipeline tuned_pipeline(const fs::path& path, const diffusion::Pipeline& base) {
  if (fs::exists(path / "model_index.json")) return named_model(path.string());
  diffusion::Pipeline tuned = base;
  if (fs::is_directory(path)) {
    tuned.network = diffusion::load_network(path);
    diffusion::check_fit(tuned, path.string());
    return tuned;
  }
  const auto lora =
      std::make_shared<const diffusion::LoraWeights>(diffusion::read_lora(path.string()));
  diffusion::apply_loras(tuned, {{.lora = lora}});
  return tuned;
}

bool same_levels(const diffusion::Pipeline& a, const diffusion::Pipeline& b) {
  const auto one = diffusion::make_schedule(a.scheduler),
             other = diffusion::make_schedule(b.scheduler);
  const auto &bars = one.alphas_cumprod, &others = other.alphas_cumprod;
  return one.config.flow.has_value() == other.config.flow.has_value() &&
         std::equal(bars.begin(), bars.end(), others.begin(), others.end(),
                    [](double x, double y) { return std::abs(x - y) <= kLevelTolerance; });
}

// Throws BadInput unless both mean the same by a latent, and by a timestep.
void check_same_space(const std::string& name,
                      const diffusion::Pipeline& found,
                      const diffusion::Pipeline& led) {
  const auto space = [](const diffusion::Pipeline& pipeline) {
    const auto& vae = pipeline.vae.config;
    return std::to_string(vae.latent_channels) + " channels scaled by " +
           data::short_number(vae.scaling_factor);
  };
  if (space(found) != space(led))
    throw BadInput("--delta: " + name + ": expected the latent space of the model that samples (" +
                   space(led) + "), found " + space(found));
  if (!same_levels(found, led))
    throw BadInput("--delta: " + name +
                   ": expected the noise schedule of the model that samples, found another");
  if (diffusion::edits_images(found) != diffusion::edits_images(led))
    throw BadInput("--delta: " + name +
                   ": expected a model that edits images where the sampling one does, and none "
                   "where it does not");
  const auto axes = [](const diffusion::Pipeline& pipeline) {
    return data::joined(diffusion::reward_config(pipeline.network).axes, ", ");
  };
  if (diffusion::traits(found.network).reads_reward && axes(found) != axes(led))
    throw BadInput("--delta: " + name +
                   ": expected the axes of requested reward of the model that samples (" +
                   axes(led) + "), found " + axes(found));
}

// The guided output of a delta's network at the prompts of a batch.
diffusion::Denoiser denoiser_of(const diffusion::Pipeline& pipeline,
                                std::vector<diffusion::ImageRequest> batch,
                                const diffusion::GenerateOptions& options) {
  for (auto& request : batch)  // chunks are those of the other model's tokenizers
    for (auto* prompt : {&request.prompt, &request.negative_prompt}) prompt->chunks.clear();
  return diffusion::batch_denoiser(pipeline, batch, options);
}

}  // namespace

void declare_deltas(Options& options, DeltaConfig& config) {
  options.rare().list("delta", config.delta,
                      "what a finetuning changed leads another model: LoRA, network folder or "
                      "model, with =STRENGTH; repeatable");
  options.rare().text("delta_base", config.base,
                      "the model that --delta was tuned from [the model that samples]");
}

std::vector<Delta> load_deltas(const DeltaConfig& config, const diffusion::Pipeline& led) {
  std::vector<Delta> deltas;
  if (config.delta.empty()) {
    if (!config.base.empty())
      throw BadInput("--delta_base: expected a --delta that was tuned from it, found none");
    return deltas;
  }
  const at::Device device = diffusion::device_of(led.network);
  const auto on_device = [&](diffusion::Pipeline pipeline) {
    move_to(pipeline, device);
    return std::make_shared<const diffusion::Pipeline>(std::move(pipeline));
  };
  const auto base = config.base.empty() ? std::make_shared<const diffusion::Pipeline>(led)
                                        : on_device(named_model(config.base));
  check_same_space(config.base, *base, led);
  for (const auto& text : config.delta) {
    const NamedDelta named = parse_delta(text);
    const auto tuned = on_device(tuned_pipeline(named.path, *base));
    check_same_space(named.path.string(), *tuned, led);
    if (tuned->scheduler.prediction_type != base->scheduler.prediction_type)
      throw BadInput("--delta: " + named.path.string() +
                     ": expected a network that predicts what that of --delta_base does, found one "
                     "that predicts something else");
    deltas.push_back({.name = model_name(named.path) + " " + data::short_number(named.strength),
                      .tuned = tuned,
                      .reference = base,
                      .strength = named.strength});
  }
  return deltas;
}

void lead_by_deltas(const std::vector<Delta>& deltas,
                    const diffusion::Pipeline& led,
                    const std::vector<diffusion::ImageRequest>& batch,
                    const diffusion::GenerateOptions& options,
                    diffusion::BatchGuide& guide) {
  if (deltas.empty()) return;
  diffusion::GenerateOptions own = options;  // at the size of the model that is led
  const auto shape = diffusion::latent_shape(led, options.height, options.width);
  const int64_t factor = diffusion::vae_factor(led.vae.config);
  own.height = shape[1] * factor;
  own.width = shape[2] * factor;
  std::vector<diffusion::NetworkDelta> networks;
  for (const Delta& delta : deltas) {
    networks.push_back({.tuned = denoiser_of(*delta.tuned, batch, own),
                        .reference = denoiser_of(*delta.reference, batch, own),
                        .prediction = delta.reference->scheduler.prediction_type,
                        .strength = delta.strength});
  }
  guide.around = [inner = guide.around, schedule = diffusion::make_schedule(led.scheduler),
                  networks](const diffusion::Denoiser& denoiser) {
    return diffusion::delta_guided(inner ? inner(denoiser) : denoiser, schedule, networks);
  };
}

}  // namespace tools
