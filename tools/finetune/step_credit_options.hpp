#pragma once

// Which values of states give credit to single steps: --step_rewards, --baseline_value.

#include "finetune/policy/config.hpp"
#include "finetune/task/training_task.hpp"
#include "rewards/value/online.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct StepCreditConfig {
  std::string step_rewards = "none";  // "value", "expected", "student"
  // Folders of `laurel train-reward value`, or "learn": as the run goes.
  std::string step_value, baseline_value;
  rewards::OnlineOptions learn{};  // of these
  std::string step_student;        // a distilled model
  double step_reward_scale = 1;    // alpha
  bool shuffle_step_rewards = false;
};
void declare_step_credit(Options& options, StepCreditConfig& config);

// Throws BadInput for options that do not fit each other, the method or a tree.
void check_step_credit(const StepCreditConfig& config, const finetune::FinetuneConfig& run);

// Loads the networks, or makes the one that learns, by the run's seed; `task` must outlive the
// result. Throws BadInput for a network of another latent space, and of other rewards than the
// task's.
finetune::StepCredit make_step_credit(const StepCreditConfig& config,
                                      const finetune::TrainingTask& task,
                                      const finetune::FinetuneConfig& run);

}  // namespace tools
