#pragma once

// Imperfect edits with exact labels: a source, an instruction, and a picture that carries it out
// partly, harms what it should keep, or comes out unclean, each by a drawn amount and apart from
// the others. The scores are those of the picture as its file holds it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "data/world/edit_score.hpp"

namespace world {

// How an edit fails. Pixels are taken in the order of a direction across the picture, so that a
// share of them is one side of a line.
struct Flaws {
  double followed = 1;      // share of the changed pixels that are edited
  double follow_angle = 0;  // radians
  double disturbed = 0;     // share of the disturbance that shows
  double disturb_angle = 0;
  double uncleanness = 0;  // [0, 1]
};
Flaws random_flaws(Random& random);

// source, target, disturbed: [3, N, N]; the disturbed source differs from the source in what the
// edit should keep. -> [3, N, N]
at::Tensor compose(const at::Tensor& source,
                   const at::Tensor& target,
                   const at::Tensor& disturbed,
                   const Flaws& flaws);

struct EditTriple {
  std::string id, instruction;
  std::string operation;
  at::Tensor source, edited;  // [3, N, N] fp32 in [0, 1], in steps of 1 / 255
  EditView view;
  EditScores scores;  // of `edited`
};

// `flat`: the small world of flat.hpp.
struct TripleOptions {
  uint64_t seed = 0;
  Split split = Split::kSeen;
  bool flat = false;
  bool flawless = false;  // the edited picture is the target
};
// A pure function of the options and the index.
EditTriple draw_triple(const TripleOptions& options, int64_t index);

// How a line of metadata.jsonl that `laurel world edits` wrote was drawn, from its "world"; nothing
// where it has none.
struct DrawnLine {
  TripleOptions options;
  int64_t index = 0;
};
std::optional<DrawnLine> drawn_line(const std::string& line, const std::string& where);
// The view of such a line. Throws data::BadInput for a line of other edits.
EditView view_of_line(const std::string& line, const std::string& where);

}  // namespace world
