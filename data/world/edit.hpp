#pragma once

// Instructions for edits of a scene, each with the exact scene that carrying it out gives.
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

enum class Operation { kRecolour, kMove, kAdd, kRemove, kResize, kSwap, kBackground };
enum class Direction { kLeft, kRight, kUp, kDown };
constexpr int64_t kOperations = 7, kDirections = 4;
constexpr double kStep = 16;  // pixels that an object is moved

struct Edit {
  Operation operation = Operation::kRecolour;
  size_t object = 0;                       // of the source; not for add and background
  size_t other = 0;                        // swap: of another colour
  Colour colour = Colour::kRed;            // recolour, add
  Kind kind = Kind::kCircle;               // add
  Size size = Size::kSmall;                // resize, add
  Place place = Place::kCentre;            // add
  Direction direction = Direction::kLeft;  // move
  Tone tone = Tone::kWhite;                // background
};

// The edited scene. What the instruction leaves open is fixed: new colours and tones are the middle
// of their range, new sizes too, a move is kStep pixels, an added shape stands in the middle of its
// place (as far as the canvas allows), a background keeps its gradient and its waves.
Scene apply(const Scene& source, const Edit& edit);

// Seen: neither scene holds a held-out combination of colour and shape. Unseen: the instruction is
// about one (for a background: the picture holds one).
Split split_of(const Scene& source, const Edit& edit);

struct SceneEdit {
  Scene source;
  Edit edit;
  Scene target;  // well placed, its objects distinct in colour or shape
};
// Operations are drawn alike as far as the scenes allow them.
SceneEdit random_edit(at::Generator& generator, Split split);
// Another edit of the same scene, of another subject; none after a few tries.
std::optional<Edit> other_edit(const SceneEdit& drawn, Random& random);

// The instruction in one of its wordings; a shape alone of its kind may be named without its
// colour.
std::string instruction(const Scene& source, const Edit& edit, Random& random);

// The way back. Throws data::BadInput where the text leaves the grammar, or names a shape that the
// scene does not hold, or holds twice.
Edit parse_instruction(const std::string& text, const Scene& source);

// "the red circle", "the background"; and "recoloured", "moved", ..
std::string subject(const Scene& source, const Edit& edit);
std::string deed(Operation operation);
std::string name(Operation operation);  // "recolour"

}  // namespace world
