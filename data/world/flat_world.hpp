#pragma once

// The smallest world for edits: 16 x 16 pixels, no anti-aliasing, nine colours, two objects of
// different shape and colour, two operations (recolour, remove). A pixel-space model learns its
// edits in minutes on one core.

#include <ATen/core/Tensor.h>

#include <array>
#include <string>

#include "data/world/edit_score.hpp"

namespace world {

constexpr int64_t kFlatCanvas = 16;
constexpr double kFlatNoise = 0.15;  // strongest noise; above it greys look like other colours

struct FlatObject {
  Kind kind = Kind::kCircle;        // no rings
  Colour colour = Colour::kRed;     // no orange; a corner of the RGB cube
  int64_t reach = 2, x = 0, y = 0;  // pixels; the shape lies in [x - reach, x + reach]
};
struct FlatScene {
  Tone background = Tone::kWhite;  // white, grey or black
  std::array<FlatObject, 2> objects;
  std::array<bool, 2> shown = {true, true};
};

struct FlatEdit {
  FlatScene source, target;
  EditOperation operation = EditOperation::kRecolour;
  size_t object = 0;
};

FlatEdit random_flat_edit(RandomStream& random, Split split);

// The source with a change of its other object or its background.
FlatScene disturb_flat(const FlatEdit& edit, RandomStream& random);

// [3, 16, 16]
at::Tensor render_flat(const FlatScene& scene);

std::string instruction(const FlatEdit& edit);  // "make the circle red", "remove the square"
EditView view_of(const FlatEdit& edit);

}  // namespace world
