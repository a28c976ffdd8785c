#pragma once

#include <string>

#include "diffusion/pipeline/pipeline.hpp"
#include "diffusion/sampling/sampler_catalog.hpp"

namespace tools {

// Sets the pipeline's scheduler to the given method and spacing ("": the model's own), and notes on
// stderr that laurel lacks the model's own method. Throws BadInput for an unknown name, and for an
// eta above 0 with a method that has none.
diffusion::SamplerChoice resolve_sampler(const std::string& method,
                                         const std::string& spacing,
                                         double eta,
                                         diffusion::Pipeline& pipeline);

}  // namespace tools
