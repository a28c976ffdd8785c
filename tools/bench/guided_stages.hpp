#pragma once

#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "tools/bench/stages.hpp"

namespace bench {

// Sampling of `options.images` candidates that compete (`--guide particles=4`) under a reward that
// costs nothing, and the same samples without the guide, with as many decodings: what the first
// takes longer is the guide's own. The pipeline must outlive the stages.
std::vector<StagePlan> guided_stages(const diffusion::Pipeline& pipeline,
                                     const StageOptions& options);

}  // namespace bench
