#pragma once

// Reads a picture of the world back from its pixels alone: the gold judge of what a caption asked
// for. It knows the words and ranges of world.hpp, never the scene that was drawn.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/world/caption.hpp"

namespace world {

// image: [3, H, W] floating point in [0, 1], any device; other sizes than 64x64 are resized.
// Objects are sorted by area, the largest first; specks are left out, anything else that stands out
// counts as an object, if of unknown kind.
Reading read_scene(const at::Tensor& image);

// Throws data::BadInput where the caption leaves the grammar.
Match caption_match(const at::Tensor& image, const std::string& caption);

// images: [B, 3, H, W], captions: B.
std::vector<Match> caption_matches(const at::Tensor& images,
                                   const std::vector<std::string>& captions);

}  // namespace world
