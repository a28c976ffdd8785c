#include "finetune/distill/lcd.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <numeric>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/device/transfer.hpp"

namespace finetune {
namespace {

constexpr double kSigmaData = 0.5;

// The largest and the smallest divisor of `total` beside `n`: "40 or 50".
std::string near_divisors(int64_t total, int64_t n) {
  int64_t below = 0, above = 0;
  for (int64_t d = 1; d <= total; ++d) {
    if (total % d != 0) continue;
    if (d < n) below = d;
    if (d > n && above == 0) above = d;
  }
  if (below == 0 || above == 0) return std::to_string(below + above);
  return std::to_string(below) + " or " + std::to_string(above);
}

}  // namespace

LcdSchedule lcd_schedule(const diffusion::NoiseSchedule& schedule,
                         int64_t num_ddim_timesteps,
                         double timestep_scaling) {
  const int64_t total = schedule.config.num_train_timesteps;
  if (num_ddim_timesteps < 1 || num_ddim_timesteps > total || total % num_ddim_timesteps != 0) {
    throw data::BadInput("num_ddim_timesteps: expected a divisor of the schedule's " +
                         std::to_string(total) + " timesteps, found " +
                         std::to_string(num_ddim_timesteps) + "; take " +
                         near_divisors(total, num_ddim_timesteps));
  }
  const int64_t k = total / num_ddim_timesteps;
  const at::Tensor t = at::arange(1, num_ddim_timesteps + 1, at::kLong) * k - 1;
  return {.prediction = schedule.config.prediction_type,
          .timestep_scaling = timestep_scaling,
          .levels = diffusion::training_levels(schedule),
          .t = t,
          .previous = (t - k).clamp_min(0)};
}

diffusion::NoiseLevels levels_at(const LcdSchedule& schedule, const at::Tensor& t) {
  const auto at_t = [&](const at::Tensor& table) {
    return data::to_device(table, t.device()).index_select(0, t).view({-1, 1, 1, 1});
  };
  return {.signal = at_t(schedule.levels.signal), .noise = at_t(schedule.levels.noise)};
}

Boundary boundary_scalings(const at::Tensor& t, double timestep_scaling) {
  const at::Tensor u = t.to(at::kDouble).view({-1, 1, 1, 1}) * timestep_scaling;
  const at::Tensor norm = u.square() + kSigmaData * kSigmaData;
  return {.skip = kSigmaData * kSigmaData / norm, .out = u / norm.sqrt()};
}

at::Tensor consistency_output(const LcdSchedule& schedule,
                              const at::Tensor& output,
                              const at::Tensor& x,
                              const at::Tensor& t) {
  const Boundary boundary = boundary_scalings(t, schedule.timestep_scaling);
  const at::Tensor x0 =
      diffusion::predict(schedule.prediction, levels_at(schedule, t), output, x).x0;
  return boundary.skip.to(x.scalar_type()) * x + boundary.out.to(x.scalar_type()) * x0;
}

at::Tensor consistency(const diffusion::Network& student,
                       const LcdSchedule& schedule,
                       const at::Tensor& x,
                       const at::Tensor& t,
                       const diffusion::Conditioning& conditions) {
  data::check_shape(t, {x.size(0)}, "consistency: t");
  const auto inputs =
      diffusion::branch_inputs(student, conditions, diffusion::GuidanceBatch::kPrompt);
  const at::Tensor output = diffusion::branch_outputs(student, x, t, inputs).to(x.scalar_type());
  return consistency_output(schedule, output, x, t);
}

at::Tensor solver_step(const LcdSchedule& schedule,
                       const at::Tensor& output,
                       const at::Tensor& x,
                       const at::Tensor& index,
                       const at::Tensor& w) {
  const auto at_index = [&](const at::Tensor& points) {
    return levels_at(schedule, data::to_device(points, index.device()).index_select(0, index));
  };
  const at::Tensor scale = data::to_device(w, x.device()).to(x.scalar_type()).view({-1, 1, 1, 1});
  const diffusion::NoiseLevels here = at_index(schedule.t), there = at_index(schedule.previous);
  const auto halves = output.to(x.scalar_type()).chunk(2);
  const auto without = diffusion::predict(schedule.prediction, here, halves[0], x);
  const auto with = diffusion::predict(schedule.prediction, here, halves[1], x);
  const at::Tensor x0 = with.x0 + scale * (with.x0 - without.x0);
  const at::Tensor epsilon = with.epsilon + scale * (with.epsilon - without.epsilon);
  return diffusion::add_noise(there, x0, epsilon);
}

at::Tensor teacher_step(const diffusion::Network& teacher,
                        const LcdSchedule& schedule,
                        const at::Tensor& x,
                        const at::Tensor& index,
                        const diffusion::Conditioning& conditions) {
  const at::NoGradGuard no_gradient;
  std::vector<int64_t> rows(static_cast<size_t>(x.size(0)));
  std::iota(rows.begin(), rows.end(), 0);
  const auto inputs = diffusion::branch_inputs(
      teacher, conditions, diffusion::GuidanceBatch::kUnconditionalPrompt, rows);
  const at::Tensor t = data::to_device(schedule.t, index.device()).index_select(0, index);
  const at::Tensor output = diffusion::branch_outputs(teacher, x, at::cat({t, t}), inputs);
  return solver_step(schedule, output, x, index, conditions.guidance_w);
}

at::Tensor lcd_loss(const at::Tensor& predicted,
                    const at::Tensor& target,
                    LcdLoss loss,
                    double huber_c) {
  const at::Tensor squares = (predicted - target).square();
  if (loss == LcdLoss::kL2) return squares.mean();
  return ((squares + huber_c * huber_c).sqrt() - huber_c).mean();
}

LcdPrediction lcd_predict(const diffusion::Network& student,
                          const diffusion::Network& target,
                          const diffusion::Network& teacher,
                          const LcdSchedule& schedule,
                          const LcdBatch& batch) {
  const at::Tensor t =
      data::to_device(schedule.t, batch.index.device()).index_select(0, batch.index);
  const at::Tensor noisy = diffusion::add_noise(levels_at(schedule, t), batch.latents, batch.noise);
  LcdPrediction result;
  {
    const at::NoGradGuard no_gradient;
    const at::Tensor nearer = teacher_step(teacher, schedule, noisy, batch.index, batch.conditions);
    const at::Tensor previous =
        data::to_device(schedule.previous, batch.index.device()).index_select(0, batch.index);
    result.target = consistency(target, schedule, nearer, previous, batch.conditions);
  }
  result.predicted = consistency(student, schedule, noisy, t, batch.conditions);
  return result;
}

}  // namespace finetune
