#pragma once

#include "diffusion/pipeline.hpp"
#include "tools/sample_jobs.hpp"

namespace tools {

// Sets batch_size, and tiling where one whole image does not fit, so that the forecast peak of
// sampling `jobs` stays under config.max_memory: a step and a decode of one and of two images are
// run on smaller latents. Says what it chose on stderr. Throws BadInput with what would fit.
void fit_sample_memory(SampleConfig& config,
                       diffusion::Pipeline& pipeline,
                       const std::vector<SampleJob>& jobs);

}  // namespace tools
