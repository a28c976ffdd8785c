#include "data/world/world.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace world {

const std::array<HsvRange, kColours> kColourRanges = {{
    {358, 6, .75, .95, .78, .95},   // red
    {28, 4, .85, 1.0, .90, 1.0},    // orange
    {54, 4, .80, 1.0, .90, 1.0},    // yellow
    {130, 14, .65, .95, .55, .85},  // green
    {183, 6, .75, 1.0, .75, .95},   // cyan
    {226, 8, .75, .95, .75, 1.0},   // blue
    {284, 9, .60, .85, .65, .90},   // purple
}};

const std::array<HsvRange, kTones> kToneRanges = {{
    {0, 180, 0, .03, .93, 1.0},    // white
    {0, 180, 0, .04, .50, .64},    // grey
    {0, 180, 0, .15, .05, .13},    // black
    {42, 8, .18, .28, .90, .98},   // cream
    {204, 8, .22, .34, .88, .97},  // pale blue
    {228, 8, .50, .65, .22, .32},  // navy
}};

Rgb to_rgb(const Hsv& hsv) {
  const double turns = hsv.hue / 60 - 6 * std::floor(hsv.hue / 360);
  const auto channel = [&](double n) {
    const double k = std::fmod(n + turns, 6);
    return hsv.value * (1 - hsv.saturation * std::clamp(std::min(k, 4 - k), 0.0, 1.0));
  };
  return {channel(5), channel(3), channel(1)};
}

Hsv to_hsv(const Rgb& rgb) {
  const double high = std::max({rgb.r, rgb.g, rgb.b});
  const double chroma = high - std::min({rgb.r, rgb.g, rgb.b});
  if (chroma <= 0) return {0, 0, high};
  double turns = high == rgb.r   ? (rgb.g - rgb.b) / chroma
                 : high == rgb.g ? 2 + (rgb.b - rgb.r) / chroma
                                 : 4 + (rgb.r - rgb.g) / chroma;
  if (turns < 0) turns += 6;
  return {60 * turns, chroma / high, high};
}

Rgb middle(const HsvRange& range) {
  const bool any_hue = range.hue_half > 90;
  return to_rgb({range.hue, any_hue ? 0 : (range.saturation_min + range.saturation_max) / 2,
                 (range.value_min + range.value_max) / 2});
}

bool place_holds(Place place, double x, double y) {
  const double far = kCanvas - kThird;
  const bool left = x<kThird, right = x> far, top = y<kThird, bottom = y> far;
  switch (place) {
    case Place::kLeft:
      return left;
    case Place::kRight:
      return right;
    case Place::kTop:
      return top;
    case Place::kBottom:
      return bottom;
    case Place::kCentre:
      return !left && !right && !top && !bottom;
    case Place::kTopLeft:
      return top && left;
    case Place::kTopRight:
      return top && right;
    case Place::kBottomLeft:
      return bottom && left;
    case Place::kBottomRight:
      return bottom && right;
  }
  return false;
}

bool relation_holds(Relation relation, double x, double y, double other_x, double other_y) {
  switch (relation) {
    case Relation::kLeftOf:
      return other_x - x > kApart;
    case Relation::kRightOf:
      return x - other_x > kApart;
    case Relation::kAbove:
      return other_y - y > kApart;
    case Relation::kBelow:
      return y - other_y > kApart;
  }
  return false;
}

namespace {
// Outlines in units of the scale.
constexpr double kSquareHalf = 0.88, kTriangleReach = 1.25, kDiamondReach = 1.15, kRingOuter = 1.05;
constexpr double kRingInner = 0.5;
const double kRoot2 = std::numbers::sqrt2, kRoot3 = std::numbers::sqrt3;
}  // namespace

double outline_distance(Kind kind, double scale, double dx, double dy) {
  switch (kind) {
    case Kind::kCircle:
      return std::hypot(dx, dy) - scale;
    case Kind::kSquare:
      return std::max(std::abs(dx), std::abs(dy)) - kSquareHalf * scale;
    case Kind::kTriangle:  // equilateral, one corner up
      return std::max(dy, kRoot3 / 2 * std::abs(dx) - dy / 2) - kTriangleReach / 2 * scale;
    case Kind::kDiamond:
      return (std::abs(dx) + std::abs(dy) - kDiamondReach * scale) / kRoot2;
    case Kind::kRing: {
      const double radius = std::hypot(dx, dy);
      return std::max(radius - kRingOuter * scale, kRingInner * scale - radius);
    }
  }
  return 0;
}

double area(Kind kind, double scale) {
  const double square = scale * scale;
  switch (kind) {
    case Kind::kCircle:
      return std::numbers::pi * square;
    case Kind::kSquare:
      return 4 * kSquareHalf * kSquareHalf * square;
    case Kind::kTriangle:
      return 3 * kRoot3 / 4 * kTriangleReach * kTriangleReach * square;
    case Kind::kDiamond:
      return 2 * kDiamondReach * kDiamondReach * square;
    case Kind::kRing:
      return std::numbers::pi * (kRingOuter * kRingOuter - kRingInner * kRingInner) * square;
  }
  return 0;
}

double far_reach(Kind kind, double scale) {
  switch (kind) {
    case Kind::kCircle:
      return scale;
    case Kind::kSquare:
      return kSquareHalf * kRoot2 * scale;
    case Kind::kTriangle:
      return kTriangleReach * scale;
    case Kind::kDiamond:
      return kDiamondReach * scale;
    case Kind::kRing:
      return kRingOuter * scale;
  }
  return 0;
}

}  // namespace world
