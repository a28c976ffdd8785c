// UniPC, Zhao et al. 2023, on x0: a multistep predictor (UniP), and a corrector (UniC) that takes
// the estimate of the next call into the step that led to it.

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {
namespace {

// Solves sum_j r_j^i x_j = b_i.
std::vector<double> solve_powers(const std::vector<double>& r, const std::vector<double>& b) {
  const auto size = static_cast<int64_t>(r.size());
  at::Tensor matrix = at::empty({size, size}, at::kDouble), right = at::tensor(b, at::kDouble);
  for (int64_t i = 0; i < size; ++i) {
    for (int64_t j = 0; j < size; ++j)
      matrix[i][j] = std::pow(r[static_cast<size_t>(j)], static_cast<double>(i));
  }
  const at::Tensor solved = at::linalg_solve(matrix, right).contiguous();
  return {solved.const_data_ptr<double>(), solved.const_data_ptr<double>() + size};
}

// A step from level `from` to `from + 1` by the estimates of `order` calls, the newest at `from`.
struct UniStep {
  double from_start = 0;
  // Of the estimate at from + 1 (0 for the predictor), then of those at from, from - 1, ...
  std::vector<double> weights;
};

UniStep uni_step(const NoiseSchedule& schedule,
                 const std::vector<double>& sigmas,
                 size_t from,
                 size_t order,
                 bool correct) {
  const bool bh1 = schedule.config.solver_type == "bh1";
  const NoiseLevel at = level_of_sigma(schedule, sigmas[from]),
                   next = level_of_sigma(schedule, sigmas[from + 1]);
  const double h = std::log(sigmas[from] / sigmas[from + 1]), phi = std::expm1(-h);
  UniStep step{.from_start = next.noise / at.noise, .weights = {}};
  step.weights.assign(order + 1, 0.0);
  step.weights[1] = -next.signal * phi;
  if (order == 1 && !correct) return step;
  if (!(h > 0 && std::isfinite(h))) {
    throw data::BadInput(
        "scheduler: UniPC with lower_order_final false cannot end so; set it to "
        "true, or final_sigmas_type to sigma_min with plain sigmas");
  }
  // r: where the other estimates lie, in steps; eq. 5's right side b
  std::vector<double> r, b;
  for (size_t i = 1; i < order; ++i) r.push_back(std::log(sigmas[from] / sigmas[from - i]) / h);
  if (correct) r.push_back(1);
  const double scale = bh1 ? -h : phi;  // B(h)
  double phi_k = phi / -h - 1, factorial = 1;
  for (size_t i = 1; i <= r.size(); ++i) {
    b.push_back(phi_k * factorial / scale);
    factorial *= static_cast<double>(i + 1);
    phi_k = phi_k / -h - 1 / factorial;
  }
  const bool simple = r.size() == 1;  // 1/2, not exact, as the paper and diffusers have it
  const std::vector<double> rho = simple ? std::vector<double>{0.5} : solve_powers(r, b);
  for (size_t i = 0; i < r.size(); ++i) {
    const double weight = -next.signal * scale * rho[i] / r[i];
    step.weights[correct && i + 1 == r.size() ? 0 : i + 2] += weight;
    step.weights[1] -= weight;
  }
  return step;
}

// With sigma_min as the end, diffusers repeats the last of Karras sigmas and the like.
SigmaLevels unipc_levels(const NoiseSchedule& schedule, const SamplerOptions& options) {
  SigmaLevels levels = sigma_levels(schedule, options);
  const double last = levels.sigmas[levels.timesteps.size() - 1], end = final_sigma(schedule);
  levels.sigmas.back() = end > 0 && schedule.config.sigma_schedule != nullptr ? last : end;
  return levels;
}

SamplerTable unipc_table(const NoiseSchedule& schedule, const SamplerOptions& options) {
  const SchedulerConfig& config = schedule.config;
  const SigmaLevels levels = unipc_levels(schedule, options);
  const size_t count = levels.timesteps.size();
  const auto& off = config.disable_corrector;
  SamplerTable table;
  size_t order = 0;
  for (size_t i = 0; i < count; ++i) {
    SamplerCall call{.timestep = levels.timesteps[i]};
    call.estimate = x0_from(config.prediction_type, level_of_sigma(schedule, levels.sigmas[i]));
    const bool disabled =
        std::find(off.begin(), off.end(), static_cast<int64_t>(i) - 1) != off.end();
    if (i > 0 && !disabled) {
      const UniStep corrected = uni_step(schedule, levels.sigmas, i - 1, order, true);
      call.start_from_x = 0;
      call.start_from_start = corrected.from_start;
      call.start_from_estimates = corrected.weights;
    }
    order = std::min(static_cast<size_t>(config.solver_order), i + 1);
    if (config.lower_order_final) order = std::min(order, count - i);
    const UniStep predicted = uni_step(schedule, levels.sigmas, i, order, false);
    call.from_start = predicted.from_start;
    call.from_estimates.assign(predicted.weights.begin() + 1, predicted.weights.end());
    table.calls.push_back(call);
  }
  return table;
}

const FlowForm kUnipcFlow{
    .diffusers_class = "UniPCMultistepScheduler",
    .config_keys = {"flow_shift", "use_dynamic_shifting", "time_shift_type", "shift_terminal"},
    .starts_from_one = true,
    .table = unipc_table};

}  // namespace

extern const Sampler kUniPc{.flag = "unipc",
                            .label = "UniPC",
                            .diffusers_class = "UniPCMultistepScheduler",
                            .aliases = {"unipcbh2"},
                            .config_keys = {"solver_order", "solver_type", "lower_order_final"},
                            .takes_sigma_schedule = true,
                            .integer_timesteps = true,
                            .stochastic = draws_never,
                            .table = unipc_table,
                            .flow = &kUnipcFlow};

}  // namespace diffusion
