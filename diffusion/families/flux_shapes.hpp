#pragma once

// What the shapes of FLUX.1's tensors show of its settings.

#include <string>

#include "diffusion/families/transformer_kinds.hpp"
#include "diffusion/networks/flux/config.hpp"

namespace diffusion {

// `part`: the tensors in diffusers' names (take_part). Heads of another width than 128 have the
// axes of their places as 2, 7 and 7 of 16. Throws BadInput, naming the tensor, when one that shows
// the structure is missing, when the sizes do not fit together, or for the forms that read another
// image beside their own (Fill, Depth, Canny), by name.
FluxConfig flux_config_of(const data::Weights& part);

// "19 + 38 layers of width 3072, 24 heads, ...".
std::string flux_text(const FluxConfig& config);

extern const TransformerKind kFluxKind;

}  // namespace diffusion
