#pragma once

#include <string>

#include "diffusion/pipeline/pipeline.hpp"

namespace tools {

// Puts the asked sampler and spacing ("": the model's) into the pipeline's scheduler, and says on
// stderr where the model names a sampler that is not here. Throws BadInput for an unknown name, and
// for an eta above 0 with a sampler that has none.
diffusion::SamplerChoice settle_sampler(const std::string& method,
                                        const std::string& spacing,
                                        double eta,
                                        diffusion::Pipeline& pipeline);

}  // namespace tools
