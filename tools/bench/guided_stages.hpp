#pragma once

#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "tools/bench/stages.hpp"

namespace bench {

// Sampling of `options.images` candidates that compete (`--guide particles=4`) under a reward that
// costs nothing, and the network's passes and the decodings of it alone: what the first takes
// longer is the guide's own. The pipeline must outlive the stages.
std::vector<StagePlan> guided_stages(const diffusion::Pipeline& pipeline,
                                     const StageOptions& options);

}  // namespace bench
