#pragma once

// Captioned scenes: one to three coloured shapes on a plain, shaded or slightly textured
// background. They replace photographs in tests and on machines without a GPU.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/world/world.hpp"

namespace world {

struct Object {
  Kind kind = Kind::kCircle;
  Colour colour = Colour::kRed;
  Size size = Size::kSmall;
  double scale = 8;     // pixels, see kSmallMin
  double x = 0, y = 0;  // centre of mass, pixels from the top left corner
  Rgb rgb;              // the exact shade
  double shading =
      0;  // relative decrease of brightness from the top to the bottom of the shape, [0, 0.12]
};

struct Background {
  Tone tone = Tone::kWhite;
  Rgb rgb;
  double slope_x = 0, slope_y = 0;  // change of brightness from edge to edge, [-0.1, 0.1]
  double texture = 0;               // amplitude of a wave pattern, [0, 0.015]
  double waves_x = 0, waves_y = 0, phase = 0;  // radians a pixel, radians
};

struct Scene {
  Background background;
  std::vector<Object> objects;
};

// kSeen: no held-out combination of colour and shape. kUnseen: at least one.
Scene random_scene(at::Generator& generator, Split split);

// Whether every shape is inside the canvas, apart from the others, and not near a boundary between
// two place or relation words.
bool well_placed(const Scene& scene);

// [3, 64, 64] fp32 in [0, 1], anti-aliased.
at::Tensor render(const Scene& scene);

struct SceneBatch {
  at::Tensor images;                  // [B, 3, 64, 64] fp32 in [0, 1]
  std::vector<std::string> captions;  // B true captions
};
// New scenes with one caption each; equal generator states give equal batches.
SceneBatch random_batch(int64_t count, Split split, at::Generator& generator);

}  // namespace world
