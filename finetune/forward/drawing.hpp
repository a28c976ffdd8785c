#pragma once

// How a forward-process training draws its images: by any sampler.

#include <string>

#include "finetune/forward/config.hpp"
#include "finetune/policy/rollout.hpp"
#include "finetune/run/training_run.hpp"

namespace finetune {

struct ForwardDrawing {
  diffusion::SchedulerConfig scheduler;
  diffusion::SamplerOptions options;
  std::string label;   // "DPM++ 2M Karras"
  SamplingPlan chain;  // without steps where the sampler's steps have no probability
};
// Throws BadInput for a sampler that is not known, or that does not fit the model or the steps.
ForwardDrawing make_drawing(const TrainingTask& task, const ForwardConfig& config);

// Clean latents, `batch` at a time. -> [P, C, h, w] on the CPU
at::Tensor draw_clean(const TrainingTask& task,
                      const ForwardDrawing& drawing,
                      const Denoiser& policy,
                      const SampleRequests& draw,
                      int64_t batch);

// Draws and rates the evaluation's images, of the starting model or of the one in training; with
// the KL from the start where the sampler's steps have a probability.
Evaluation evaluate_drawn(const TrainingRun& run,
                          const ForwardConfig& config,
                          const ForwardDrawing& drawing,
                          bool is_base);

// What a run of `name` says and draws. `config` and `drawing` must outlive it.
RunHooks drawing_hooks(const TrainingTask& task,
                       const ForwardConfig& config,
                       const ForwardDrawing& drawing);

}  // namespace finetune
