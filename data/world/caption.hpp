#pragma once

// What a caption claims, which captions there are, and whether a picture's contents bear one out.

#include <ATen/core/Generator.h>

#include <optional>
#include <string>
#include <vector>

#include "data/world/scene.hpp"

namespace world {

enum class ClaimKind { kCount, kKind, kColour, kSize, kPlace, kRelation, kBackground };

// One thing that a caption says. `value` is the number of objects, or a Kind, Colour, Size, Place,
// Relation or Tone.
struct Claim {
  ClaimKind kind = ClaimKind::kCount;
  int64_t object = 0;  // of which object of the caption (not for count and background)
  int64_t other = 0;   // the second object of a relation
  int64_t value = 0;
};

// The claims of a caption, in the order of its objects. Throws data::BadInput where it leaves the
// grammar.
std::vector<Claim> parse_caption(const std::string& text);

// One of the true captions of a scene, in one of its wordings; every object is named. Moves the
// generator by one draw.
std::string caption(const Scene& scene, at::Generator& generator);

// Every object that a caption may name alone, with all sizes, places and backgrounds; all pairs
// with all relations; groups alike; a fixed choice of threes. Plain wording, distinct, always in
// the same order.
std::vector<std::string> all_captions(Split split);

// Every word that a caption may hold, sorted: what a tokenizer must know.
std::vector<std::string> all_words();

// What a picture holds. A property that could not be made out is empty, and claims about it fail.
struct Sight {
  std::optional<Kind> kind;
  std::optional<Colour> colour;
  Size size = Size::kSmall;
  double scale = 0;     // pixels
  double x = 0, y = 0;  // centre of mass, pixels
  Rgb rgb;
};
struct Reading {
  std::vector<Sight> objects;
  std::optional<Tone> background;
};

// The reading that a perfect eye would give.
Reading truth(const Scene& scene);

struct Match {
  double fraction = 0;  // of the claims that hold, under the best pairing of the caption's objects
                        // with the picture's
  bool exact = false;   // all hold
};
Match match(const std::vector<Claim>& claims, const Reading& reading);

}  // namespace world
