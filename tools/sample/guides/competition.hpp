#pragma once

// Guides whose samples of an image compete on the way.

#include "tools/sample/guides/kinds.hpp"

namespace tools {

// K samples, a few times rated by the picture that the network expects: the better ones are copied
// in place of the worse ones (diffusion/sampling/particles.hpp).
extern const GuideKind kParticlesGuide;

// K candidates of every step, rated so: one goes on, from which the next K are drawn (Li et al.
// 2024, "SVDD").
extern const GuideKind kPerStepGuide;

}  // namespace tools
