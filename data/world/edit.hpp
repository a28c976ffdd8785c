#pragma once

// Instructions for edits of a scene, each with the exact edited scene.
//
//   make the [colour] shape COLOUR | SIZE       make the background TONE
//   move the [colour] shape DIRECTION           add a SIZE COLOUR SHAPE PLACE
//   remove the [colour] shape                   swap the [colour] shape and the [colour] shape

#include <ATen/core/Generator.h>

#include <optional>
#include <string>

#include "data/world/random_stream.hpp"
#include "data/world/scene.hpp"

namespace world {

enum class EditOperation { kRecolour, kMove, kAdd, kRemove, kResize, kSwap, kBackground };
enum class Direction { kLeft, kRight, kUp, kDown };
constexpr int64_t kOperations = 7, kDirections = 4;
constexpr double kStep = 16;  // distance of a move, pixels

struct Edit {
  EditOperation operation = EditOperation::kRecolour;
  size_t object = 0;                       // index in the source; unused for add and background
  size_t other = 0;                        // swap: an object of another colour
  Colour colour = Colour::kRed;            // recolour, add
  Kind kind = Kind::kCircle;               // add
  Size size = Size::kSmall;                // resize, add
  Place place = Place::kCentre;            // add
  Direction direction = Direction::kLeft;  // move
  Tone tone = Tone::kWhite;                // background
};

// The edited scene. What the instruction leaves open has a fixed value: new colours, tones and
// sizes are the middle of their ranges, a move is kStep pixels, an added shape is at the middle of
// its place (as far as the canvas allows), a background keeps its gradient and its waves.
Scene apply(const Scene& source, const Edit& edit);

// Seen: neither scene has a held-out combination of colour and shape. Unseen: the instruction
// refers to one (for a background: the picture has one).
Split split_of(const Scene& source, const Edit& edit);

struct SceneEdit {
  Scene source;
  Edit edit;
  Scene target;  // well placed, its objects distinct in colour or shape
};
// Every operation has the same probability, as far as the scenes allow it.
SceneEdit random_edit(at::Generator& generator, Split split);
// Another edit of the same scene with another subject; none when a few tries fail.
std::optional<Edit> other_edit(const SceneEdit& drawn, RandomStream& random);

}  // namespace world
