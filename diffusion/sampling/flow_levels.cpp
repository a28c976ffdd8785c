#include "diffusion/sampling/flow_levels.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/sigma_schedule.hpp"

namespace diffusion {
namespace {

const FlowConfig& flow_of(const NoiseSchedule& schedule) {
  TORCH_CHECK(schedule.config.flow, "flow_levels: the schedule is not one of flow matching");
  return *schedule.config.flow;
}

void check_steps(const NoiseSchedule& schedule, int64_t steps) {
  const int64_t total = schedule.config.num_train_timesteps;
  if (steps >= 1 && steps <= total) return;
  throw data::BadInput("steps: expected a value in [1, " + std::to_string(total) + "], found " +
                       std::to_string(steps));
}

// Esser et al. 2024, eq. 23, in the number type of the times.
template <class Number>
Number shifted(Number t, Number shift) {
  return shift * t / (1 + (shift - 1) * t);
}

// numpy's linspace without its rounding of the last value.
std::vector<double> linspace(double from, double to, int64_t count) {
  std::vector<double> values;
  const double step = count > 1 ? (to - from) / static_cast<double>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i) * step + from);
  if (count > 1) values.back() = to;
  return values;
}

// Stretches the times so that the last is config.shift_terminal.
void stretch_to_terminal(std::vector<double>& t, const FlowConfig& config) {
  if (config.shift_terminal == 0) return;
  const double scale = (1 - t.back()) / (1 - config.shift_terminal);
  for (double& one : t) one = 1 - (1 - one) / scale;
}

// Karras sigmas and the like between the first and the last time.
void spread(std::vector<double>& t, const SigmaSchedule* spacing) {
  if (spacing == nullptr) return;
  const double highest = t.front(), lowest = t.back();
  const auto gaps = static_cast<double>(t.size() - 1);
  for (size_t i = 0; i < t.size(); ++i)
    t[i] = spacing->sigma(highest, lowest, i == 0 ? 0 : static_cast<double>(i) / gaps);
}

// The times before the shift. The range of training is fp32 as in diffusers, and a fixed shift is
// in it already.
std::vector<double> times_before_shift(const NoiseSchedule& schedule, double shift, int64_t steps) {
  const FlowConfig& config = flow_of(schedule);
  if (config.even_times) return linspace(1, 1 / static_cast<double>(steps), steps);
  const auto total = static_cast<float>(schedule.config.num_train_timesteps);
  float most = 1, least = 1 / total;
  if (!config.use_dynamic_shifting) {
    most = shifted(most, static_cast<float>(shift));
    least = shifted(least, static_cast<float>(shift));
  }
  const double range = static_cast<double>(total);
  std::vector<double> times = linspace(most * range, least * range, steps);
  for (double& t : times) t /= range;
  return times;
}

}  // namespace

FlowTimes flow_match_times(const NoiseSchedule& schedule, int64_t steps) {
  check_steps(schedule, steps);
  const FlowConfig& config = flow_of(schedule);
  const auto total = static_cast<float>(schedule.config.num_train_timesteps);
  const double shift = shift_of(config, schedule.image_tokens);
  FlowTimes times;
  for (const double t : times_before_shift(schedule, shift, steps))
    times.t.push_back(shifted(t, shift));
  stretch_to_terminal(times.t, config);
  spread(times.t, schedule.config.sigma_schedule);
  for (double& t : times.t) {
    const auto rounded = static_cast<float>(t);
    t = rounded;
    times.timesteps.push_back(rounded * total);
  }
  times.t.push_back(0);
  return times;
}

FlowTimes flow_solver_times(const NoiseSchedule& schedule, int64_t steps, bool from_one) {
  check_steps(schedule, steps);
  const FlowConfig& config = flow_of(schedule);
  const auto range = static_cast<double>(schedule.config.num_train_timesteps);
  const double shift = shift_of(config, schedule.image_tokens);
  const auto even = linspace(1, 1 / range, steps + 1);
  FlowTimes times;
  for (int64_t i = 0; i < steps; ++i) {
    const double t =
        from_one ? even[static_cast<size_t>(i)] : 1 - even[static_cast<size_t>(steps - i)];
    times.t.push_back(shifted(t, shift));
  }
  stretch_to_terminal(times.t, config);
  if (std::abs(times.t.front() - 1) < 1e-6) times.t.front() -= 1e-6;  // log(1 - t) is finite
  for (double& t : times.t) {
    times.timesteps.push_back(std::floor(t * range));
    t = static_cast<float>(t);
  }
  times.t.push_back(0);
  return times;
}

}  // namespace diffusion
