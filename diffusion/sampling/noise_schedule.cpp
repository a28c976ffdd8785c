#include "diffusion/sampling/noise_schedule.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"

namespace diffusion {
namespace {

// Nichol and Dhariwal 2021, eq. 17, with betas cut at 0.999.
at::Tensor cosine_betas(int64_t count) {
  const auto alpha_bar = [](double t) {
    const double c = std::cos((t + 0.008) / 1.008 * M_PI / 2);
    return c * c;
  };
  std::vector<double> betas;
  const auto total = static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) {
    const auto step = static_cast<double>(i);
    betas.push_back(std::min(1 - alpha_bar((step + 1) / total) / alpha_bar(step / total), 0.999));
  }
  return at::tensor(betas).to(at::kFloat);
}

// [num_train_timesteps] fp32
at::Tensor betas_of(const SchedulerConfig& config) {
  const int64_t count = config.num_train_timesteps;
  if (!config.trained_betas.empty()) return at::tensor(config.trained_betas).to(at::kFloat);
  if (config.beta_schedule == "linear")
    return at::linspace(config.beta_start, config.beta_end, count);
  if (config.beta_schedule == "scaled_linear") {
    return at::linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end), count).square();
  }
  TORCH_CHECK(config.beta_schedule == "squaredcos_cap_v2", "make_schedule: unknown beta_schedule ",
              config.beta_schedule);
  return cosine_betas(count);
}

// Lin et al. 2023, algorithm 1: shifts sqrt(abar) so that the last is 0 and the first stays.
at::Tensor with_zero_terminal_snr(const at::Tensor& betas) {
  const at::Tensor root = (1 - betas).cumprod(0).sqrt();
  const at::Tensor first = root[0], last = root[-1];
  const at::Tensor alphas_bar = ((root - last) * (first / (first - last))).square();
  const at::Tensor alphas =
      at::cat({alphas_bar.slice(0, 0, 1), alphas_bar.slice(0, 1) / alphas_bar.slice(0, 0, -1)});
  return 1 - alphas;
}

// A velocity is said of flow matching's levels alone, and nothing else is said of them.
void check_prediction(const SchedulerConfig& config) {
  const bool velocity = config.prediction_type == Prediction::kFlow;
  if (velocity == config.flow.has_value()) return;
  throw data::BadInput("scheduler: prediction_type: expected " +
                       (config.flow ? prediction_name(Prediction::kFlow)
                                    : std::string("epsilon, v_prediction or sample")) +
                       " with " + config.class_name + ", found " +
                       prediction_name(config.prediction_type) +
                       (config.flow ? "" : ", which needs a scheduler of flow matching"));
}

// t of flow matching: 0..1
double time_of(const NoiseSchedule& schedule, double timestep) {
  return std::clamp(timestep / static_cast<double>(schedule.config.num_train_timesteps), 0.0, 1.0);
}

}  // namespace

NoiseSchedule make_schedule(const SchedulerConfig& config, int64_t image_tokens) {
  check_prediction(config);
  if (config.flow)
    return {.config = config,
            .alphas_cumprod = {},
            .image_tokens = image_tokens > 0 ? image_tokens : config.flow->image_tokens};
  at::Tensor betas = betas_of(config);
  if (config.rescale_betas_zero_snr) {
    if (config.prediction_type == Prediction::kEpsilon) {
      throw data::BadInput(
          "scheduler: rescale_betas_zero_snr: expected prediction_type v_prediction or sample, "
          "found "
          "epsilon, which says nothing at zero signal");
    }
    betas = with_zero_terminal_snr(betas);
  }
  const at::Tensor bars = (1 - betas).cumprod(0).to(at::kDouble).contiguous();
  const double* first = bars.const_data_ptr<double>();
  return {.config = config,
          .alphas_cumprod = {first, first + bars.numel()},
          .image_tokens = image_tokens};
}

NoiseLevel level_at(const NoiseSchedule& schedule, int64_t timestep) {
  if (schedule.config.flow) return flow_level(time_of(schedule, static_cast<double>(timestep)));
  return level_of_alpha_bar(schedule.alphas_cumprod.at(static_cast<size_t>(timestep)));
}

NoiseLevel level_between(const NoiseSchedule& schedule, double timestep) {
  if (schedule.config.flow) return flow_level(time_of(schedule, timestep));
  const auto& table = schedule.alphas_cumprod;
  const double last = static_cast<double>(table.size()) - 1;
  const double place = std::clamp(timestep, 0.0, last);
  const auto below = static_cast<size_t>(place);
  const double part = place - static_cast<double>(below);
  if (part == 0) return level_of_alpha_bar(table[below]);
  const auto sigma = [&](size_t i) { return std::sqrt((1 - table[i]) / table[i]); };
  const double between = (1 - part) * sigma(below) + part * sigma(below + 1);
  return level_of_alpha_bar(1 / (1 + between * between));
}

NoiseLevels levels_at(const NoiseSchedule& schedule, const at::Tensor& t, const at::Tensor& like) {
  data::check_shape(t, {like.size(0)}, "levels_at: t");
  if (schedule.config.flow) {
    const at::Tensor time =
        t.to(like.options()).view({-1, 1, 1, 1}) / schedule.config.num_train_timesteps;
    return {.signal = 1 - time, .noise = time};
  }
  const at::Tensor table = at::tensor(schedule.alphas_cumprod).to(like.options());
  const at::Tensor alpha_bar = table.index_select(0, t.to(like.device())).view({-1, 1, 1, 1});
  return {.signal = alpha_bar.sqrt(), .noise = (1 - alpha_bar).sqrt()};
}

NoiseLevels training_levels(const NoiseSchedule& schedule) {
  if (schedule.config.flow) {
    const int64_t total = schedule.config.num_train_timesteps;
    const at::Tensor time = at::arange(total, at::kDouble) / total;
    return {.signal = 1 - time, .noise = time};
  }
  const at::Tensor alpha_bar = at::tensor(schedule.alphas_cumprod, at::kDouble);
  return {.signal = alpha_bar.sqrt(), .noise = (1 - alpha_bar).sqrt()};
}

at::Tensor signal_to_noise_ratios(const NoiseSchedule& schedule) {
  if (schedule.config.flow) {
    const NoiseLevels levels = training_levels(schedule);
    return (levels.signal / levels.noise).square();
  }
  const at::Tensor alpha_bar = at::tensor(schedule.alphas_cumprod, at::kDouble);
  return alpha_bar / (1 - alpha_bar);
}

std::vector<int64_t> inference_timesteps(const SchedulerConfig& config, int64_t steps) {
  const int64_t total = config.num_train_timesteps;
  const auto range = static_cast<double>(total);
  if (steps < 1 || steps > total) {
    throw data::BadInput("steps: expected a value in [1, " + std::to_string(total) + "], found " +
                         std::to_string(steps));
  }
  std::vector<int64_t> timesteps;
  for (int64_t i = 0; i < steps; ++i) {
    const auto from_end = static_cast<double>(steps - 1 - i);
    int64_t t = 0;
    if (config.timestep_spacing == Spacing::kLinspace) {
      const auto gaps = static_cast<double>(std::max<int64_t>(steps - 1, 1));
      t = std::llrint(from_end * ((range - 1) / gaps));
    } else if (config.timestep_spacing == Spacing::kTrailing) {
      t = std::llrint(range - static_cast<double>(i) * (range / static_cast<double>(steps))) - 1;
    } else {
      t = (steps - 1 - i) * (total / steps) + config.steps_offset;
    }
    timesteps.push_back(t);
  }
  if (timesteps.front() >= total) {
    throw data::BadInput("steps: " + std::to_string(steps) + " with steps_offset " +
                         std::to_string(config.steps_offset) + " begins at timestep " +
                         std::to_string(timesteps.front()) + " of " + std::to_string(total) +
                         "; take fewer steps or trailing spacing");
  }
  return timesteps;
}

at::Tensor add_noise(const NoiseSchedule& schedule,
                     const at::Tensor& x0,
                     const at::Tensor& noise,
                     const at::Tensor& t) {
  return add_noise(levels_at(schedule, t, x0), x0, noise);
}

at::Tensor training_target(const NoiseSchedule& schedule,
                           const at::Tensor& x0,
                           const at::Tensor& noise,
                           const at::Tensor& t) {
  return training_target(schedule.config.prediction_type, levels_at(schedule, t, x0), x0, noise);
}

}  // namespace diffusion
