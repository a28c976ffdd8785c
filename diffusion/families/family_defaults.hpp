#pragma once

// What a family's pipeline in diffusers has of its own, and no file says.

#include "diffusion/families/families.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// Sets the times that the pipeline gives its scheduler, and which rows of T5 the network reads: of
// FLUX.1 512 of dev and 256 of schnell.
void set_family_defaults(Pipeline& pipeline, const ModelFamily& family);

}  // namespace diffusion
