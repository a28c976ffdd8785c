#pragma once

#include "tools/bench/stages.hpp"

namespace bench {

// One optimiser step of DRaFT-1 on adapters: options.images of options.update_steps steps, the
// last one with a gradient, decoded with one. The reward is the mean pixel: what a reward costs is
// its own matter. The pipeline must outlive the stage.
BenchStage draft_stage(const diffusion::Pipeline& pipeline, const StageOptions& options);

}  // namespace bench
