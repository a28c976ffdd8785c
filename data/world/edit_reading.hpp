#pragma once

// Scores of an edited picture from what everyone sees: the two pictures and the instruction. The
// oracle reads the scene from the source, the instruction is applied to it, and the edited picture
// is scored against the result as in edit_score.hpp; where the edit changes nothing, against the
// source itself. Not exact: the scene's shades, sizes and places are estimates.

#include <ATen/core/Tensor.h>

#include <string>

#include "data/world/edit_score.hpp"

namespace world {

// source, edited: [3, H, W] in [0, 1]; sizes other than 64x64 are resized. Throws data::BadInput
// for a source with an object that is not recognised, and for an instruction that does not fit it.
EditScores read_edit_scores(const at::Tensor& source,
                            const at::Tensor& edited,
                            const std::string& instruction);

}  // namespace world
