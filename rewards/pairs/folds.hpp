#pragma once

// Folds for cross-validation: of a choice that is held out, no image is among those trained on.

#include <cstdint>
#include <vector>

namespace rewards {

// What an answer is about: an image twice for a like.
struct ChoiceImages {
  int64_t a = 0, b = 0;  // numbers of images
  int64_t prompt = -1;   // -1: none
};

struct Folds {
  std::vector<int64_t> of_image;  // a number in [0, count)
  int64_t count = 0;
  const char* unit = "";  // what stays together: "prompts", "groups of compared images", "images"
};

// Images of a prompt, and images that were compared, stay together where that leaves at least
// `count` such units, none with more than half of the choices. Else only compared images do; else
// images are divided one by one into at most 3 folds, and choices between two folds are not used to
// measure. Units go, the largest first, to the fold with the fewest choices. count: >= 2
Folds divide_into_folds(int64_t images, const std::vector<ChoiceImages>& choices, int64_t count);

// Whether the choice is one to measure fold `fold` by, and whether it may be trained on then.
bool is_held_out(const Folds& folds, const ChoiceImages& choice, int64_t fold);
bool is_outside(const Folds& folds, const ChoiceImages& choice, int64_t fold);

}  // namespace rewards
