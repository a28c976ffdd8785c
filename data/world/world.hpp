#pragma once

// The built-in, synthetic world: its words, their ranges, and the held-out combinations.

#include <array>
#include <cstdint>

namespace world {

constexpr int64_t kCanvas = 64;  // pixels a side

enum class Split { kSeen, kUnseen };
enum class Kind { kCircle, kSquare, kTriangle, kDiamond, kRing };
enum class Colour { kRed, kOrange, kYellow, kGreen, kCyan, kBlue, kPurple };
enum class Size { kSmall, kLarge };
enum class Tone { kWhite, kGrey, kBlack, kCream, kPaleBlue, kNavy };
enum class Relation { kLeftOf, kRightOf, kAbove, kBelow };
enum class Place {
  kLeft,
  kRight,
  kTop,
  kBottom,
  kCentre,
  kTopLeft,
  kTopRight,
  kBottomLeft,
  kBottomRight
};

constexpr int64_t kKinds = 5, kColours = 7, kSizes = 2, kTones = 6, kRelations = 4, kPlaces = 9;
constexpr int64_t kMaxObjects = 3;

// Combinations of colour and shape that no seen scene and no seen caption contains: one per colour,
// 7 of 35.
constexpr bool held_out(Colour colour, Kind kind) {
  return static_cast<int64_t>(kind) == (2 * static_cast<int64_t>(colour) + 1) % kKinds;
}

struct Rgb {
  double r = 0, g = 0, b = 0;  // [0, 1]
};

// hue in degrees (any turn), saturation and value in [0, 1]
struct Hsv {
  double hue = 0, saturation = 0, value = 0;
};
Rgb to_rgb(const Hsv& hsv);
Hsv to_hsv(const Rgb& rgb);

// The colours that a word means: hues within hue_half of hue, saturation and value in their ranges.
struct HsvRange {
  double hue, hue_half, saturation_min, saturation_max, value_min, value_max;
};
Rgb middle(const HsvRange& range);  // grey when the range has every hue
extern const std::array<HsvRange, kColours> kColourRanges;
extern const std::array<HsvRange, kTones> kToneRanges;

// Scale of a shape in pixels: the radius of a circle; other kinds have about the same area.
constexpr double kSmallMin = 7.5, kSmallMax = 8.8, kLargeMin = 11.5, kLargeMax = 13.5;
constexpr double kSizeBoundary = 10.1;

// "left" is x below kThird, "right" above kCanvas - kThird (pixels, centre of mass); drawn scenes
// keep kGuard away from these lines.
constexpr double kThird = 26, kGuard = 1.2;
// "left of" is a difference of the centres above this many pixels; drawn scenes keep kRelationGuard
// away from it.
constexpr double kApart = 10, kRelationGuard = 2;

bool place_holds(Place place, double x, double y);
// Whether an object at (x, y) has this relation to one at (other_x, other_y). y grows downwards.
bool relation_holds(Relation relation, double x, double y, double other_x, double other_y);

// Signed distance in pixels from (dx, dy), relative to the shape's centre of mass, to its outline;
// negative inside.
double outline_distance(Kind kind, double scale, double dx, double dy);
double area(Kind kind, double scale);  // square pixels
double far_reach(Kind kind,
                 double scale);  // distance from the centre of mass to the farthest corner

}  // namespace world
