#pragma once

// Training by the reward's gradient through the chain: DRaFT, AlignProp, ReFL.

#include "finetune/draft/methods.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

// Each step draws `train_batch_size` prompts, in random order without repetition before all were
// drawn, samples an image of each, and follows the trained rewards' gradient. Writes as
// run_training. Throws BadInput as run_training and make_draft_chain, and when a trained reward is
// not differentiable or a rank would have no image.
RunResult run_draft(const TrainingTask& task,
                    const DraftMethod& method,
                    const DraftConfig& config,
                    const RunOptions& options,
                    const Reporter& reporter);

// What the run will cost, from one real step.
struct DraftForecast {
  double seconds_step = 0, seconds_evaluate = 0;
  double seconds = 0;     // of the whole run
  double peak_bytes = 0;  // resident memory at its most, so far
  int64_t trained_values = 0;
};
DraftForecast forecast_draft(const TrainingTask& task, const DraftConfig& config);
std::string forecast_text(const DraftForecast& forecast);

}  // namespace finetune
