#pragma once

#include "diffusion/sampling/sampler.hpp"
#include "finetune/task/guided_policy.hpp"
#include "finetune/task/sample_requests.hpp"

namespace finetune {

// Images by any sampler, all requests at once; their steps have no probability. `task` must outlive
// it.
DrawLatents sampler_drawer(const TrainingTask& task,
                           const Denoiser& policy,
                           const diffusion::SchedulerConfig& scheduler,
                           const diffusion::SamplerOptions& options);

}  // namespace finetune
