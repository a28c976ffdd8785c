#pragma once

// The pictures that a simulated person is shown, and pairs of them.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/world/random_stream.hpp"
#include "tools/world/simulated_person.hpp"

namespace tools {

struct ShownPicture {
  std::filesystem::path file;
  std::string prompt;  // may be empty
  double taste = 0;    // of the person, without noise
  int64_t facts = 0;   // row of ShownPictures::facts
};
struct ShownPictures {
  std::vector<ShownPicture> pictures;
  at::Tensor facts{};                 // [N, 8]
  std::vector<std::string> faults{};  // a line for each picture that cannot be read
};

// The facts of one picture, shrunk by averaging so that its longer side has at most 64 pixels.
// image: [3, H, W] in [0, 1] -> [1, 8]
at::Tensor facts_at_a_glance(const at::Tensor& image);

// Files, folders, patterns, and runs (folders with samples/ in them). Throws BadInput when there is
// no picture, when none can be read, and for more than 4,096.
ShownPictures look_at_pictures(const std::vector<std::string>& places,
                               const SimulatedPerson& person);

using PicturePair = std::pair<int32_t, int32_t>;  // places in ShownPictures::pictures

using PictureGroups = std::vector<std::vector<int32_t>>;
// Places of pictures that may be compared, at least two in each: those of one prompt. Where fewer
// than half of the pictures share their prompt with another, all are compared with one another.
PictureGroups comparable(const std::vector<ShownPicture>& pictures);
// All pairs inside the groups, the smaller place first.
std::vector<PicturePair> pairs_inside(const PictureGroups& groups);

// The pairs to answer, and others about pictures that those do not show.
struct DrawnPairs {
  std::vector<PicturePair> asked, held_out;
};
struct PairCounts {
  int64_t asked = 0, held_out = 0;
  double held_out_share = 0;  // of the groups; of the pictures where there is one group
};
// Without repetition, sides drawn. Throws BadInput where there are fewer.
DrawnPairs draw_pairs(PictureGroups groups, const PairCounts& counts, world::RandomStream& chance);

// The questions in order: each pair, and a share of them a second time, sides exchanged, at least
// eight questions later (or at the end).
std::vector<PicturePair> with_repeats(const std::vector<PicturePair>& pairs,
                                      double asked_twice,
                                      world::RandomStream& chance);

}  // namespace tools
