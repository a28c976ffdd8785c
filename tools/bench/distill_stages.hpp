#pragma once

// Stages: one optimiser step of distillation, without and with a reward.

#include "tools/bench/stages.hpp"

namespace bench {

// Full training of the UNet with 50 solver points and a moving average; with a CLIP, also a step
// guided by its score through the autoencoder. `options.images` latents per step. Pipeline and CLIP
// must outlive the stages.
std::vector<StagePlan> distill_stages(const diffusion::Pipeline& pipeline,
                                      const std::optional<rewards::Clip>& clip,
                                      const StageOptions& options);

}  // namespace bench
