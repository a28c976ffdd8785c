#pragma once

// What a person says of a formula: which of two pictures is better, or a sentence.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tools {

struct PreferredPicture {
  int64_t better = 0, worse = 0;  // numbers of pictures, from 1
};
// "3 is better than 7" or "3 > 7"; nothing: it is a sentence. Throws BadInput for a number outside
// 1 to `pictures` and for a picture against itself.
std::optional<PreferredPicture> preference_in(const std::string& text, int64_t pictures);

// The share of the pairs whose better picture has the larger value; a tie is wrong, a pair with a
// value that is not finite is left out (rewards/evaluation/pair_accuracy.hpp). NaN: none counts.
// values: [P] fp64
double accuracy_on(const std::vector<PreferredPicture>& pairs, const at::Tensor& values);

// Those that it orders otherwise.
std::vector<PreferredPicture> wrong_pairs(const std::vector<PreferredPicture>& pairs,
                                          const at::Tensor& values);

}  // namespace tools
