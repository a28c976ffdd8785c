#pragma once

// The exact scores of an edited picture, 0 to 5 on three axes, from its pixels and the pictures
// before and after a perfect edit. Nothing is learned. In words of sets of pixels: M are those that
// the edit changes, the rest are to be kept.
//
//   instruction_following  5 * share of M that shows what the edited picture shows
//   detail_preserving      5 * product over the shapes that are to be kept of the share that shows
//                          them * max(0, 1 - wrong pixels in what else is to be kept / kept_area)
//   generation_quality     5 * max(0, 1 - mean distance to the nearest clean colour / its worst)
//
// A pixel shows a colour when no clean colour that looks otherwise is nearer. The edited picture
// scores (5, 5, 5) and the source (0, 5, 5).

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "data/world/edit.hpp"

namespace world {

constexpr int64_t kAxes = 3;
constexpr std::array<const char*, kAxes> kAxisNames = {"instruction_following", "detail_preserving",
                                                       "generation_quality"};

// The clean colours between two, as the shading of a shape gives them; often one colour.
struct Ramp {
  std::array<float, 3> from = {}, to = {};
};

// All that the scorer knows of an edit.
struct EditView {
  at::Tensor source, target;      // [3, N, N] fp32 in [0, 1], as drawn
  std::vector<int8_t> owner;      // N * N: kOutline, 0, or 1 + which of `kept` covers the pixel
  std::vector<std::string> kept;  // "the red circle": shapes that the edit leaves alone
  std::string subject, deed;      // "the circle", "moved"
  std::string blemish = "off in its colours";  // what a picture of low quality is
  std::vector<Ramp> palette;
  double kept_area = 0;       // wrong pixels that bring detail preserving to 0
  double free_distance = 0;   // in RGB, of a pixel from a clean colour: rounding to 8 bits
  double worst_distance = 0;  // the mean that brings the quality to 0
  double outliers = 0;        // share of pixels, the worst, left out of that mean: soft outlines of
                              // shapes that are not where they should be
};
constexpr int8_t kOutline = -1;  // on or beside an outline: not counted, may be soft

struct EditScores {
  std::array<double, kAxes> values = {};    // in the order of kAxisNames
  std::array<std::string, kAxes> feedback;  // the flaw in words, or "None"
  std::string sentence() const { return feedback[0] + "; " + feedback[1] + "; " + feedback[2]; }
};

EditView view_of(const SceneEdit& edit);

// image: [3, N, N] in [0, 1], the size of the view's pictures.
EditScores score_edit(const EditView& view, const at::Tensor& image);

}  // namespace world
