#pragma once

// Runs of the policy-gradient trainer on the tiny task.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "finetune/policy/trainer.hpp"
#include "tests/support/tiny/run.hpp"

namespace tests {

// The tiny task, with the configuration that a run compares.
inline finetune::TrainingTask configured_task() {
  finetune::TrainingTask task = tiny_task();
  task.config_text = "learning_rate = 0.01\nnum_epochs = 4\n";
  return task;
}

inline finetune::RunResult run(const finetune::TrainingTask& task,
                               const finetune::FinetuneConfig& config,
                               const std::filesystem::path& folder,
                               const std::string& resume = "",
                               std::vector<std::string>* said = nullptr) {
  return finetune::run_finetune(task, config,
                                run_options(folder, config.method.name, config.seed, resume),
                                reporter_into(said));
}

// The same, stopped after two epochs and resumed.
inline void run_in_parts(const finetune::TrainingTask& task,
                         finetune::FinetuneConfig config,
                         const std::filesystem::path& folder) {
  const int64_t epochs = config.num_epochs;
  config.num_epochs = 2;
  run(task, config, folder);
  config.num_epochs = epochs;
  run(task, config, folder, "latest");
}

inline bool said_so(const std::vector<std::string>& said, const std::string& part) {
  return std::any_of(said.begin(), said.end(),
                     [&](const auto& line) { return line.find(part) != std::string::npos; });
}

}  // namespace tests
