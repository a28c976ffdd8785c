#include "rewards/value/network.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/format.hpp"
#include "data/base/shape.hpp"
#include "data/nn/timestep_embedding.hpp"

namespace rewards {
namespace {

constexpr int64_t kCondition = 128;                            // E
constexpr int64_t kTowerFeatures = 4 * nn::kLatentTowerWidth;  // 4 W
constexpr double kSameColour = 0.1;    // root mean squared difference of two fingerprints
constexpr double kSameScaling = 0.01;  // relative difference of two scaling factors
constexpr double kSameSignal = 0.01;   // largest difference of two schedules

at::Tensor mlp(const nn::Linear& first, const nn::Linear& second, const at::Tensor& x) {
  return nn::linear(second, at::silu(nn::linear(first, x)));
}

nn::Modulation modulation_of(const nn::Linear& w, const at::Tensor& condition) {
  const auto parts = nn::linear(w, condition).chunk(2, 1);
  return {parts[0], parts[1]};
}

void check_value_input(const ValueConfig& config, const ValueInput& input) {
  const int64_t count = input.latents.size(0), channels = config.space.channels;
  data::check_shape(input.latents, {-1, channels, -1, -1}, "value: latents");
  data::check_shape(input.timesteps, {count}, "value: timesteps");
  data::check_shape(input.text, {count, config.text_width}, "value: text");
  if (!config.reads_expected) return;
  TORCH_CHECK(input.expected.defined(), "value: expected x0 beside the latents, got none");
  data::check_shape(input.expected, {count, channels, input.latents.size(2), input.latents.size(3)},
                    "value: expected");
}

double rms_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum / static_cast<double>(a.size()));
}

}  // namespace

std::string latent_space_difference(const LatentSpace& own, const LatentSpace& found) {
  if (own.channels != found.channels)
    return std::to_string(found.channels) + " channels, not " + std::to_string(own.channels);
  if (std::abs(found.scaling_factor / own.scaling_factor - 1) > kSameScaling)
    return data::formatted("latents scaled by %.5g in place of %.5g", found.scaling_factor,
                           own.scaling_factor);
  if (own.fingerprint.size() != found.fingerprint.size() ||
      rms_difference(own.fingerprint, found.fingerprint) > kSameColour)
    return "another autoencoder";
  if (own.signals.size() != found.signals.size()) return "another noise schedule";
  for (size_t i = 0; i < own.signals.size(); ++i) {
    if (std::abs(own.signals[i] - found.signals[i]) > kSameSignal)
      return data::formatted("another noise schedule (a signal of %.3f in place of %.3f)",
                             found.signals[i], own.signals[i]);
  }
  return "";
}

ValueNetwork make_value_network(const ValueConfig& config, at::Generator& generator) {
  const int64_t channels = (config.reads_expected ? 2 : 1) * config.space.channels;
  const auto linear = [&](int64_t out, int64_t in) {
    return nn::make_linear(out, in, true, generator);
  };
  ValueNetwork w;
  w.config = config;
  w.tower = nn::make_latent_tower(channels, generator);
  w.time_1 = linear(kCondition, kCondition);
  w.time_2 = linear(kCondition, kCondition);
  w.text = linear(kCondition, config.text_width);
  w.modulate_1 = linear(kTowerFeatures, kCondition);
  w.modulate_2 = linear(2 * kTowerFeatures, kCondition);
  w.own_1 = linear(kCondition, kTowerFeatures + kCondition);
  w.own_2 = linear(1, kCondition);
  w.prompt_1 = linear(kCondition, config.text_width);
  w.prompt_2 = linear(1, kCondition);
  return w;
}

std::vector<std::pair<const char*, nn::Linear*>> linear_layers(ValueNetwork& w) {
  return {{"time_1", &w.time_1},         {"time_2", &w.time_2},         {"text", &w.text},
          {"modulate_1", &w.modulate_1}, {"modulate_2", &w.modulate_2}, {"own_1", &w.own_1},
          {"own_2", &w.own_2},           {"prompt_1", &w.prompt_1},     {"prompt_2", &w.prompt_2}};
}

void for_each_tensor(ValueNetwork& w, const std::string& prefix, const data::TensorVisitor& visit) {
  for_each_tensor(w.tower, prefix + "tower.", visit);
  for (const auto& [name, layer] : linear_layers(w)) for_each_tensor(*layer, prefix + name, visit);
}

ValueParts value_parts(const ValueNetwork& w, const ValueInput& input) {
  check_value_input(w.config, input);
  const at::ScalarType type = w.tower.conv_in.weight.scalar_type();
  const at::Tensor text = at::layer_norm(input.text.to(type), {w.config.text_width});
  const at::Tensor time =
      nn::timestep_embedding(input.timesteps, kCondition, /*flip_sin_to_cos=*/true,
                             /*freq_shift=*/0.0)
          .to(type);
  const at::Tensor condition = at::silu(mlp(w.time_1, w.time_2, time) + nn::linear(w.text, text));
  const at::Tensor latents =
      w.config.reads_expected ? at::cat({input.latents, input.expected}, 1) : input.latents;
  const at::Tensor features = nn::latent_features(
      w.tower, latents.to(type),
      {modulation_of(w.modulate_1, condition), modulation_of(w.modulate_2, condition)});
  return {.prompt = mlp(w.prompt_1, w.prompt_2, text).squeeze(1),
          .own = mlp(w.own_1, w.own_2, at::cat({features, condition}, 1)).squeeze(1)};
}

at::Tensor value_of(const ValueNetwork& w, const ValueInput& input) {
  const ValueParts parts = value_parts(w, input);
  return w.config.mean + w.config.spread * (parts.prompt + parts.own);
}

}  // namespace rewards
