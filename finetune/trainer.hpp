#pragma once

// The loop: draw, rate, update; evaluate, watch, save. PRDP's algorithm 1, and DDPO on the same
// rollout and step.

#include <filesystem>
#include <functional>
#include <string>

#include "finetune/checkpoint.hpp"
#include "finetune/config.hpp"
#include "finetune/run_folder.hpp"
#include "finetune/task.hpp"

namespace finetune {

struct RunOptions {
  std::filesystem::path folder;
  std::string resume_from;  // "", "latest", a checkpoint
  RunRecord record;
  std::function<bool()> stop_requested = [] {
    return false;
  };  // asked after each epoch: save and stop
};

struct RunResult {
  int64_t epochs = 0, steps = 0;
  int64_t skipped_steps = 0, lost_epochs = 0;  // for values that were not finite
  int64_t best_step = 0;                       // of the best held-out standing; 0: the start
  Standing last, best;
  std::string stopped;  // why, when before num_epochs
};

// Throws BadInput as open_run, load_checkpoint, make_chain and attach_lora do; when
// log-probabilities cannot be replayed within the clip range; and when the reward does not vary
// within any prompt of the first epoch.
RunResult run_finetune(const Task& task,
                       const FinetuneConfig& config,
                       const RunOptions& options,
                       const Reporter& reporter);

}  // namespace finetune
