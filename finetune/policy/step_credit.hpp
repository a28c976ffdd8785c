#pragma once

// Credit for single steps of a trajectory, from the value of its states: V(x_k) is the reward that
// the image of x_k earns on average. A step's reward is what the value grows by, a_k = V(x_k+1) -
// V(x_k), with the image's own reward in place of the last value: the a_k of a trajectory add up to
// its reward less V(x_0) (the progress of Setlur et al., "Rewarding progress", 2024, on the steps
// of a chain).

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "finetune/task/training_task.hpp"

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
  // False while it knows nothing yet: its credit is left out. Empty: it knows from the start.
  std::function<bool()> ready{};
};

struct EpochStates;  // finetune/policy/epoch_states.hpp
// A value that is learnt as the run goes. Every rank learns the same from all ranks' states.
struct ValueLearner {
  // -> figures of an epoch, of which some are measured before it is learnt from. `tick` is called
  // now and then.
  std::function<std::vector<std::pair<std::string, double>>(const EpochStates& states,
                                                            const std::function<void()>& tick)>
      learn{};
  std::function<std::vector<at::Tensor>()> weights{};  // fp32, to be made equal on all ranks
  // Into and from a checkpoint; and, where something was learnt, what other commands read.
  std::function<void(const std::filesystem::path&folder)> save{}, load{}, write{};
  int64_t replay_epochs = 0;  // whose states are kept in memory, and in a checkpoint
};

struct StepCredit {
  StateValue steps{};      // whose growth rewards steps
  double scale = 0;        // alpha, on the step rewards
  bool shuffled = false;   // the step rewards of each trajectory in random order: a control
  StateValue baseline{};   // in addition to the mean of the prompt's images
  ValueLearner learner{};  // of a value among them; empty: all are as they are
};
bool gives_credit(const StepCredit& credit);
// Whether the value gives credit now.
bool is_known(const StateValue& value);

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
