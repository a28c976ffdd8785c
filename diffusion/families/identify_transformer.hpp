#pragma once

// What a file with a diffusion transformer, or with T5, is.

#include <optional>

#include "diffusion/families/identify.hpp"

namespace diffusion {

// By the names of its tensors, in diffusers' names or the original code's; nothing: neither.
std::optional<ModelKind> identify_transformer(const data::Weights& weights);

}  // namespace diffusion
