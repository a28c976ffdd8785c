#pragma once

// Imperfect edits with exact scores: a source, an instruction, and a picture that follows it in
// part, changes what it should keep, or has unclean colours. The three flaws are drawn
// independently. The scores are those of the picture as it is stored in 8 bits.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "data/world/edit_score.hpp"

namespace world {

// The flaws of an edit. A share of pixels lies on one side of a line whose direction is the angle.
struct Flaws {
  double followed = 1;      // share of the pixels to change that are edited
  double follow_angle = 0;  // radians
  double disturbed = 0;     // share of the disturbed pixels that are visible
  double disturb_angle = 0;
  double uncleanness = 0;  // [0, 1]
};
Flaws random_flaws(RandomStream& random);

// source, target, disturbed: [3, N, N]; `disturbed` is the source with a change in what the edit
// should keep. -> [3, N, N]
at::Tensor compose(const at::Tensor& source,
                   const at::Tensor& target,
                   const at::Tensor& disturbed,
                   const Flaws& flaws);

struct EditSample {
  std::string id, instruction;
  std::string operation;
  at::Tensor source, edited;  // [3, N, N] fp32 in [0, 1], in steps of 1 / 255
  EditView view;
  EditScores scores;  // of `edited`
};

// `flat`: the small world of flat_world.hpp.
struct EditSampleOptions {
  uint64_t seed = 0;
  Split split = Split::kSeen;
  bool flat = false;
  bool flawless = false;  // the edited picture is the target
};
// Depends on the options and the index alone.
EditSample draw_edit_sample(const EditSampleOptions& options, int64_t index);

// The options and the index behind a line of metadata.jsonl that `laurel world edits` wrote, from
// its key "world"; none without that key.
struct SampleOrigin {
  EditSampleOptions options;
  int64_t index = 0;
};
std::optional<SampleOrigin> sample_origin(const std::string& line, const std::string& where);
// The view of the edit behind such a line. Throws data::BadInput for a line without "world".
EditView view_of_line(const std::string& line, const std::string& where);

}  // namespace world
