#include "finetune/datasets/timesteps.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace finetune {

at::Tensor spread_timesteps(int64_t count, int64_t num_train_timesteps, at::Generator& generator) {
  const at::Tensor offset = at::rand({1}, generator, at::kDouble);
  const at::Tensor place = (at::arange(count, at::kDouble) + offset) / static_cast<double>(count);
  return (place * static_cast<double>(num_train_timesteps))
      .to(at::kLong)
      .clamp_max(num_train_timesteps - 1);
}

at::Tensor x0_error_scales(const diffusion::NoiseSchedule& schedule) {
  std::vector<double> scales;
  for (int64_t t = 0; t < schedule.config.num_train_timesteps; ++t)
    scales.push_back(std::abs(
        diffusion::x0_from(schedule.config.prediction_type, diffusion::level_at(schedule, t))
            .from_output));
  return at::tensor(scales, at::kDouble);
}

at::Tensor min_snr_weights(const diffusion::NoiseSchedule& schedule,
                           const at::Tensor& t,
                           double gamma) {
  if (gamma <= 0) return at::ones_like(t, at::kFloat);
  const at::Tensor snr = diffusion::signal_to_noise_ratios(schedule).index_select(0, t);
  const at::Tensor of_x0 = snr.clamp_max(gamma);
  if (schedule.config.prediction_type == diffusion::Prediction::kEpsilon)
    return (of_x0 / snr).to(at::kFloat);
  return (of_x0 * x0_error_scales(schedule).index_select(0, t).square()).to(at::kFloat);
}

}  // namespace finetune
