#pragma once

// Exact scores of an edited picture, 0 to 5 on three axes, computed from its pixels and from the
// pictures before and after a perfect edit. M is the set of pixels that the edit changes; all other
// pixels are to be kept.
//
//   instruction_following  5 * share of M that shows the colours of the target
//   detail_preserving      5 * product over the shapes to keep of the share of each that shows it
//                          * max(0, 1 - wrong pixels elsewhere outside M / kept_area)
//   generation_quality     5 * max(0, 1 - mean distance to the nearest clean colour / worst
//                          distance)
//
// A pixel shows a colour when no clean colour that looks different is nearer. The target scores
// (5, 5, 5) and the source (0, 5, 5).

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "data/world/edit.hpp"

namespace world {

constexpr int64_t kAxes = 3;
constexpr std::array<const char*, kAxes> kAxisNames = {"instruction_following", "detail_preserving",
                                                       "generation_quality"};

// The clean colours between two end points, as shading produces them; often a single colour.
struct Ramp {
  std::array<float, 3> from = {}, to = {};
};

// What the scorer needs to know about an edit.
struct EditView {
  at::Tensor source, target;      // [3, N, N] fp32 in [0, 1], as drawn
  std::vector<int8_t> owner;      // N * N: kOutline, 0, or 1 + index in `kept` of the shape there
  std::vector<std::string> kept;  // "the red circle": shapes that the edit does not change
  std::string subject, verb;      // "the circle", "moved"
  std::string blemish = "off in its colours";  // describes a picture of low quality
  std::vector<Ramp> palette;
  double kept_area = 0;       // number of wrong pixels at which detail preserving is 0
  double free_distance = 0;   // in RGB, from a clean colour, allowed for rounding to 8 bits
  double worst_distance = 0;  // the mean distance at which the quality is 0
  double outliers = 0;        // share of the worst pixels that the mean excludes: soft outlines of
                              // shapes in a wrong place
};
constexpr int8_t kOutline = -1;  // on or beside an outline: may be soft, is not counted

struct EditScores {
  std::array<double, kAxes> values = {};    // in the order of kAxisNames
  std::array<std::string, kAxes> feedback;  // describes the flaw, or "None"
  std::string sentence() const { return feedback[0] + "; " + feedback[1] + "; " + feedback[2]; }
};

EditView view_of(const SceneEdit& edit);

// image: [3, N, N] in [0, 1], of the same size as the view's pictures.
EditScores score_edit(const EditView& view, const at::Tensor& image);

}  // namespace world
