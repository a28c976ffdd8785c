#include "finetune/policy/state_values.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/device/transfer.hpp"

namespace finetune {
namespace {

// x0 as the policy expects it at these states.  -> [B, C, H, W]
at::Tensor expected_latents(const DrawnStates& drawn,
                            const StateBatch& states,
                            const std::vector<int64_t>& ids) {
  const auto level = diffusion::level_between(drawn.schedule, states.timestep);
  const at::Tensor output = drawn.policy(states.x, states.timestep, ids);
  return diffusion::predict(drawn.chain.prediction, level, output, states.x).x0;
}

// [B] values of some trajectories' states before step k.
at::Tensor values_before(
    const StateValue& value, const DrawnStates& drawn, int64_t start, int64_t count, int64_t k) {
  const auto begin = drawn.trajectories.prompt_ids.begin() + start;
  const std::vector<int64_t> ids(begin, begin + count);
  StateBatch states{.x = data::to_device(
                        drawn.trajectories.latents[static_cast<size_t>(k)].narrow(0, start, count),
                        drawn.chain.device),
                    .x0 = {},
                    .timestep = drawn.chain.steps[static_cast<size_t>(k)].timestep};
  for (const int64_t id : ids) states.prompts.push_back(drawn.prompts[static_cast<size_t>(id)]);
  if (value.reads_expected) states.x0 = expected_latents(drawn, states, ids);
  return value.of(states);
}

}  // namespace

at::Tensor state_values(const StateValue& value, const DrawnStates& drawn) {
  const at::NoGradGuard no_gradient;
  const auto total = static_cast<int64_t>(drawn.trajectories.prompt_ids.size()),
             steps = static_cast<int64_t>(drawn.chain.steps.size());
  at::Tensor values = at::zeros({total, steps}, at::kDouble);
  for (int64_t start = 0; start < total; start += drawn.batch) {
    const int64_t count = std::min(drawn.batch, total - start);
    for (int64_t k = 0; k < steps; ++k)
      values.narrow(0, start, count)
          .select(1, k)
          .copy_(values_before(value, drawn, start, count, k));
  }
  return values;
}

at::Tensor weighted_rewards(const TrainingTask& task, const at::Tensor& raw) {
  at::Tensor sum = at::zeros({raw.size(0)}, at::kDouble);
  for (size_t m = 0; m < task.rewards.size(); ++m)
    sum += task.rewards[m].weight * raw.select(1, static_cast<int64_t>(m)).to(at::kDouble);
  return sum;
}

at::Tensor picture_rewards(const TrainingTask& task,
                           const at::Tensor& x0,
                           const std::vector<TrainingPrompt>& prompts) {
  return weighted_rewards(task, score_images(task.rewards, decode(task, x0), prompts));
}

StateValue expected_picture_value(const TrainingTask& task) {
  const auto of = [&task](const StateBatch& states) {
    return picture_rewards(task, states.x0, states.prompts);
  };
  return {.of = of, .reads_expected = true};
}

}  // namespace finetune
