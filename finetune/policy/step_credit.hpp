#pragma once

// Credit for single steps of a trajectory, from the value of its states: V(x_k) is the reward that
// the image of x_k earns on average. A step's reward is what the value grows by, a_k = V(x_k+1) -
// V(x_k), with the image's own reward in place of the last value: the a_k of a trajectory add up to
// its reward less V(x_0) (the progress of Setlur et al., "Rewarding progress", 2024, on the steps
// of a chain).

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "finetune/run/training_task.hpp"

namespace finetune {

// States before one step. x, x0: [B, C, H, W], x0 as the policy expects it there, or undefined.
struct StateBatch {
  at::Tensor x, x0;
  double timestep = 0;
  std::vector<TrainingPrompt> prompts{};  // B
};
struct StateValue {
  // -> [B] in the unit of the weighted reward; empty: none
  std::function<at::Tensor(const StateBatch& states)> of{};
  bool reads_expected = false;  // x0: one more pass of the policy over the epoch's states
};

struct StepCredit {
  StateValue steps{};     // whose growth rewards steps
  double scale = 0;       // alpha, on the step rewards
  bool shuffled = false;  // the step rewards of each trajectory in random order: a control
  StateValue baseline{};  // in addition to the mean of the prompt's images
};
bool gives_credit(const StepCredit& credit);

// What is known of the states of P trajectories; undefined where it is not asked for.
struct EpochValues {
  at::Tensor rewards;          // [P] fp64 the weighted raw rewards, whose values they are
  at::Tensor steps, baseline;  // [P, T] fp64 of StepCredit
};

// a_k: rewards of steps. values: [P, T], rewards: [P] -> [P, T]
at::Tensor step_rewards(const at::Tensor& values, const at::Tensor& rewards);

// label + s (alpha (a - mean of a) - (b - mean of b)), with a step's reward a, the baseline's value
// b, the means over the prompt's images at that step, and s the deviation of the labels over that
// of the rewards within the prompt: labels in deviations get credit in deviations. A trajectory
// whose reward, or a value of whose states, is not finite keeps its label at every step.
//   labels: [P] fp64 -> [P, T] fp64. `generator` shuffles.
at::Tensor step_labels(const StepCredit& credit,
                       const at::Tensor& labels,
                       const EpochValues& values,
                       const std::vector<int64_t>& prompt_ids,
                       at::Generator& generator);

}  // namespace finetune
