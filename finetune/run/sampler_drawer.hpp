#pragma once

#include "diffusion/sampling/sampler.hpp"
#include "finetune/run/guided_policy.hpp"
#include "finetune/run/sample_requests.hpp"

namespace finetune {

// Images by any sampler, all requests at once; their steps have no probability. `task` must outlive
// it.
DrawLatents sampler_drawer(const TrainingTask& task,
                           const Denoiser& policy,
                           const diffusion::SchedulerConfig& scheduler,
                           const diffusion::SamplerOptions& options);

}  // namespace finetune
