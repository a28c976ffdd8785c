#pragma once

#include "tools/sample/guides/kinds.hpp"

namespace tools {

// Whole samples from several initial noises, the later ones near the best so far
// (diffusion/sampling/noise_search.hpp). What a sampling method draws after it is the same for all
// samples of an image.
extern const GuideKind kNoiseGuide;

}  // namespace tools
