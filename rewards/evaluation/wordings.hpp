#pragma once

// How much a reward depends on the wording of a prompt that means the same.

#include <cstdint>
#include <vector>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {

// scores[w][k]: of picture k under wording w, the right picture first; all rows of one length >= 2,
// at least two rows, finite.
struct WordedItem {
  int64_t group = 0;  // the prompt
  std::vector<std::vector<double>> scores{};
};

// Whether under every wording the same wrong pictures score below the right one.
bool ranking_survives(const WordedItem& item);

struct WordingFigures {
  int64_t items = 0;
  Interval survives{};  // the share of items whose ranking survives
  // Deviation of a picture's score over the wordings, over the deviation of the pictures' mean
  // scores within an item: roots of mean variances. 0: the wording does not matter, infinite: it
  // alone does.
  Interval deviation{};
};
// items: at least one. 95 % by a bootstrap over the prompts. Deterministic.
WordingFigures wording_figures(const std::vector<WordedItem>& items);

}  // namespace rewards
