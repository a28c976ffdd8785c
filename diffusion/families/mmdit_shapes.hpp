#pragma once

// What the shapes of a transformer's tensors show of its settings.

#include <string>

#include "data/weights/tensor_map.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/families/ldm_hints.hpp"
#include "diffusion/families/transformer_kinds.hpp"
#include "diffusion/networks/mmdit/config.hpp"

namespace diffusion {

// `part`: the tensors in diffusers' names (take_part). Heads are 64 wide unless normalised queries
// or a hint say otherwise. Throws BadInput, naming the tensor, when one that shows the structure is
// missing, or when the sizes do not fit together.
MMDiTConfig mmdit_config_of(const data::Weights& part,
                            const ModelFamily& family,
                            const LdmHints& hints);

// "24 layers of width 1536, 24 heads, ...": with the release that has such a network.
std::string mmdit_text(const MMDiTConfig& config);

extern const TransformerKind kMMDiTKind;

}  // namespace diffusion
