#include "tools/cli/latent_space.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/error.hpp"
#include "diffusion/sampling/noise_schedule.hpp"
#include "rewards/value/files.hpp"

namespace tools {
namespace {

constexpr int64_t kFixedSide = 8,
                  kFingerprintSide = 4;  // of the fixed latent; mean colours along a side
constexpr int64_t kFingerprintLevels = 8;

// Smooth, of about unit variance, and different in every channel. -> [1, C, 8, 8]
at::Tensor fixed_latent(int64_t channels) {
  const at::Tensor place = at::arange(channels * kFixedSide * kFixedSide, at::kFloat);
  return (1.4 * (0.37 * place + 0.011 * place.square()).sin())
      .view({1, channels, kFixedSide, kFixedSide});
}

std::vector<double> numbers_of(const at::Tensor& x) {
  const at::Tensor flat = x.cpu().to(at::kDouble).flatten().contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

std::vector<double> signals_of(const diffusion::SchedulerConfig& config) {
  const auto schedule = diffusion::make_schedule(config);
  std::vector<double> signals;
  for (int64_t i = 0; i < kFingerprintLevels; ++i) {
    const double part = (static_cast<double>(i) + 0.5) / static_cast<double>(kFingerprintLevels);
    const double timestep = part * static_cast<double>(config.num_train_timesteps);
    signals.push_back(diffusion::level_between(schedule, timestep).signal);
  }
  return signals;
}

}  // namespace

rewards::LatentSpace latent_space_of(const diffusion::Pipeline& pipeline) {
  const at::NoGradGuard no_grad;
  const auto& vae = pipeline.vae.config;
  const at::Tensor latent =
      fixed_latent(vae.latent_channels).to(diffusion::device_of(pipeline.network));
  const at::Tensor picture =
      at::adaptive_avg_pool2d(diffusion::latents_to_images(pipeline.vae, latent).to(at::kFloat),
                              {kFingerprintSide, kFingerprintSide});
  return {.channels = vae.latent_channels,
          .scaling_factor = vae.scaling_factor,
          .shift_factor = vae.shift_factor,
          .fingerprint = numbers_of(picture),
          .prediction = diffusion::prediction_name(pipeline.scheduler.prediction_type),
          .signals = signals_of(pipeline.scheduler)};
}

at::Tensor text_means(const diffusion::Pipeline& pipeline,
                      const std::vector<diffusion::Prompt>& prompts) {
  const at::NoGradGuard no_grad;
  return diffusion::encode_prompts(pipeline, prompts).hidden.cpu().to(at::kFloat).mean(1);
}

rewards::ValueNetwork open_value_network(const std::string& path,
                                         const std::string& option,
                                         const diffusion::Pipeline& pipeline) {
  rewards::ValueNetwork network = rewards::load_value_network(path);
  const std::string difference =
      rewards::latent_space_difference(network.config.space, latent_space_of(pipeline));
  const int64_t width = text_means(pipeline, {""}).size(1);
  const std::string model = pipeline.source.string() + " has ";
  if (!difference.empty())
    throw data::BadInput(option + " " + path + ": expected the latents that it was trained on, " +
                         model + difference +
                         "; train one for this model (laurel train-reward "
                         "value)");
  if (width != network.config.text_width)
    throw data::BadInput(option + " " + path + ": expected texts of width " +
                         std::to_string(network.config.text_width) + ", " + model +
                         std::to_string(width) +
                         "; train one for this model (laurel train-reward value)");
  const at::Device device = diffusion::device_of(pipeline.network);
  for_each_tensor(network, "",
                  [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
  return network;
}

}  // namespace tools
