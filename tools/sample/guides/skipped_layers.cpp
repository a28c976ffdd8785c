#include "tools/sample/guides/skipped_layers.hpp"

#include <algorithm>
#include <set>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/images/generation_parameters.hpp"
#include "diffusion/networks/without_blocks.hpp"
#include "diffusion/sampling/delta_guidance.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr double kMostScale = 100;

std::vector<int64_t> read_layers(const std::string& text, int64_t count) {
  std::set<int64_t> layers;
  for (const std::string& word : data::split(text, ',')) {
    const auto layer = data::number_of<int64_t>(word);
    if (!layer || *layer < 0 || *layer >= count || !layers.insert(*layer).second)
      throw BadInput("--skip_guidance_layers: expected blocks from 0 to " +
                     std::to_string(count - 1) + ", each once, separated by commas, found '" +
                     text + "'");
  }
  return {layers.begin(), layers.end()};
}

// The network's timesteps of the calls that are led, from the first to the last; none: {1, 0}.
struct LedTimesteps {
  double least = 1, most = 0;
};
LedTimesteps led_timesteps(const SkippedLayers& skipped, const diffusion::SamplerTable& table) {
  LedTimesteps led;
  const auto count = static_cast<double>(table.calls.size());
  for (size_t i = 0; i < table.calls.size(); ++i) {
    const auto call = static_cast<double>(i);
    if (call <= skipped.start * count || call >= skipped.stop * count) continue;
    const double timestep = table.calls[i].timestep;
    led = led.most < led.least
              ? LedTimesteps{timestep, timestep}
              : LedTimesteps{std::min(led.least, timestep), std::max(led.most, timestep)};
  }
  return led;
}

}  // namespace

void declare_skipped_layers(Options& options, SkippedLayersConfig& config) {
  options.rare().text(
      "skip_guidance_layers", config.layers,
      "Stable Diffusion 3.5 medium: blocks left out of the prediction that guidance "
      "leads away from: 7,8,9");
  options.rare().number("skip_layer_guidance_scale", config.scale, "scale of that guidance", 0,
                        kMostScale);
  options.rare().number("skip_layer_guidance_start", config.start,
                        "share of the steps after which it leads", 0, 1);
  options.rare().number("skip_layer_guidance_stop", config.stop,
                        "share of the steps before which it leads", 0, 1);
}

SkippedLayers read_skipped_layers(const SkippedLayersConfig& config,
                                  const diffusion::Pipeline& pipeline) {
  if (config.layers.empty()) return {};
  const int64_t count = diffusion::skippable_blocks(pipeline.network);
  if (count == 0)
    throw BadInput("--skip_guidance_layers: expected a Stable Diffusion 3 or 3.5 model, found " +
                   pipeline.class_name);
  if (!(config.start < config.stop))
    throw BadInput("--skip_layer_guidance_stop: expected more than --skip_layer_guidance_start " +
                   data::short_number(config.start) + ", found " + data::short_number(config.stop));
  return {.layers = read_layers(config.layers, count),
          .scale = config.scale,
          .start = config.start,
          .stop = config.stop};
}

std::string skipped_layers_text(const SkippedLayers& skipped) {
  std::vector<std::string> layers;
  for (const int64_t layer : skipped.layers) layers.push_back(std::to_string(layer));
  return data::joined(layers, " ") + " x " + data::short_number(skipped.scale) + " (" +
         data::short_number(skipped.start) + "-" + data::short_number(skipped.stop) + ")";
}

void lead_by_skipped_layers(const SkippedLayers& skipped,
                            const diffusion::Pipeline& led,
                            const std::vector<diffusion::ImageRequest>& batch,
                            const diffusion::GenerateOptions& options,
                            diffusion::BatchGuide& guide) {
  if (skipped.layers.empty()) return;
  const auto shape = diffusion::latent_shape(led, options.height, options.width);
  const auto schedule =
      diffusion::make_schedule(led.scheduler, diffusion::image_tokens(led, shape));
  const LedTimesteps led_at =
      led_timesteps(skipped, diffusion::sampler_table(schedule, options.sampler));
  diffusion::GenerateOptions prompt_alone = options;
  prompt_alone.guidance.scale = 1;
  diffusion::Pipeline less = led;
  less.network = diffusion::without_blocks(led.network, skipped.layers);
  const diffusion::NetworkDelta delta{
      .tuned = diffusion::batch_denoiser(led, batch, prompt_alone),
      .reference = diffusion::batch_denoiser(less, batch, prompt_alone),
      .prediction = led.scheduler.prediction_type,
      .strength = skipped.scale,
      .least = led_at.least,
      .most = led_at.most};
  guide.around = [inner = guide.around, schedule, delta](const diffusion::Denoiser& denoiser) {
    return diffusion::delta_guided(inner ? inner(denoiser) : denoiser, schedule, {delta});
  };
}

}  // namespace tools
