#pragma once

// Which values of states give credit to single steps: --step_rewards, --baseline_value.

#include "finetune/policy/config.hpp"
#include "finetune/run/training_task.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct StepCreditConfig {
  std::string step_rewards = "none";       // "value", "expected", "student"
  std::string step_value, baseline_value;  // folders of `laurel train-reward value`
  std::string step_student;                // a distilled model
  double step_reward_scale = 1;            // alpha
  bool shuffle_step_rewards = false;
};
void declare_step_credit(Options& options, StepCreditConfig& config);

// Throws BadInput for options that do not fit each other, the method or a tree.
void check_step_credit(const StepCreditConfig& config, const finetune::FinetuneConfig& run);

// Loads the networks. `task` must outlive the result; `guidance_scale` is that of the chain. Throws
// BadInput for a network of another latent space, and of other rewards than the task's.
finetune::StepCredit make_step_credit(const StepCreditConfig& config,
                                      const finetune::TrainingTask& task,
                                      double guidance_scale);

}  // namespace tools
