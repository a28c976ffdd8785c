#pragma once

#include "tools/sample/guides/kinds.hpp"

namespace tools {

// At every step, against the reward's gradient (diffusion/sampling/value_guidance.hpp).
extern const GuideKind kGradientGuide;

}  // namespace tools
