#pragma once

// Parses, draws and lists captions; the contents of a picture.

#include <ATen/core/Generator.h>

#include <optional>
#include <string>
#include <vector>

#include "data/world/scene.hpp"

namespace world {

enum class ClaimKind { kCount, kKind, kColour, kSize, kPlace, kRelation, kBackground, kAbsent };

// One statement of a caption. `value` is the number of objects, or a Kind, Colour, Size, Place,
// Relation or Tone. A caption that says what is absent (a Kind: "and no square") says nothing of
// the number of objects.
struct Claim {
  ClaimKind kind = ClaimKind::kCount;
  int64_t object = 0;  // index in the caption; unused for count, background, absent
  int64_t other = 0;   // the second object of a relation
  int64_t value = 0;
};

// The claims of a caption, in the order of its objects. Throws data::BadInput for a text outside
// the grammar.
std::vector<Claim> parse_caption(const std::string& text);

// A random true caption of a scene, in a random wording. It names every object. Takes one draw from
// the generator.
std::string caption(const Scene& scene, at::Generator& generator);

// All captions of one object, with every size, place and background; all pairs with all relations;
// all groups of equal objects; a fixed selection of three objects. In the plain wording, distinct,
// in a fixed order.
std::vector<std::string> all_captions(Split split);

// Every word that occurs in captions, sorted.
std::vector<std::string> all_words();

// An object found in a picture. A property that could not be recognised is empty, and claims about
// it are false.
struct DetectedObject {
  std::optional<Kind> kind;
  std::optional<Colour> colour;
  Size size = Size::kSmall;
  double scale = 0;     // pixels
  double x = 0, y = 0;  // centre of mass, pixels
  Rgb rgb;
};
struct SceneReading {
  std::vector<DetectedObject> objects;
  std::optional<Tone> background;
};

// The exact contents of a scene.
SceneReading truth(const Scene& scene);

}  // namespace world
