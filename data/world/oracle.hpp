#pragma once

// The oracle: recognises the contents of a picture of the world from its pixels, and rates captions
// by them. It uses the words and ranges of world.hpp, not the scene that was drawn.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/world/match.hpp"

namespace world {

// image: [3, H, W] floating point in [0, 1], on any device; sizes other than 64x64 are resized.
// Objects are sorted by area, the largest first. Specks are ignored; anything else that differs
// from the background is an object, if necessary of unknown kind.
SceneReading read_scene(const at::Tensor& image);

// Throws data::BadInput for a caption outside the grammar.
Match caption_match(const at::Tensor& image, const std::string& caption);

// images: [B, 3, H, W], captions: B.
std::vector<Match> caption_matches(const at::Tensor& images,
                                   const std::vector<std::string>& captions);

}  // namespace world
