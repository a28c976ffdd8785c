#pragma once

// One optimiser step of a distillation, without and with a reward.

#include "tools/bench/stages.hpp"

namespace bench {

// The whole UNet, 50 solver points, a moving average; with a CLIP also the step that is guided by
// its score through the autoencoder. `options.images` latents a step. Pipeline and CLIP must
// outlive it.
std::vector<StagePlan> distill_stages(const diffusion::Pipeline& pipeline,
                                      const std::optional<rewards::Clip>& clip,
                                      const StageOptions& options);

}  // namespace bench
