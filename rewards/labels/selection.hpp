#pragma once

// Which labels, and which images, are worth training on.

#include <cstdint>
#include <vector>

namespace rewards {

// A label of two images of a prompt; all are numbers of a list.
struct LabelledPair {
  int64_t prompt = 0, a = 0, b = 0;
  double p = 1;         // that a is preferred: 1, 0 or, for a tie, 1/2
  double weight = 1;    // > 0
  int64_t person = -1;  // -1: several, or none named
};

// All answers about two images of a prompt as one label, in order of first appearance and with a
// and b as they first stood. The majority by weight is the label, and the lead of it the weight:
// |sum of weights for a - for b| / answers; answers that are all ties are a tie of their mean
// weight.
struct MergedLabels {
  std::vector<LabelledPair> pairs;
  int64_t contradictory = 0;  // pairs without a majority, left out
};
MergedLabels merged_labels(const std::vector<LabelledPair>& answers);

// Whether two sources place a pair alike: the same image is preferred, or none. Labels on which two
// independent sources disagree are left out (consensus filtering: Zhang et al., "The lessons of
// developing process reward models in mathematical reasoning", 2025, section 3). p, q: that a is
// preferred
bool placed_alike(double p, double q);

// Duels first, then points: of each prompt the best winner of a duel by its point score against the
// worst loser, where their scores differ by at least `least_gap` (Wang et al., "Unified reward
// model for multimodal understanding and generation", 2025, section 3). Their released code
// compares the points as texts, where "10" is below "9"; here they are numbers. Ties decide
// nothing. points: of each image; NaN: unknown, never chosen. A prompt whose best winner is its
// worst loser gives none. -> at most one pair of each prompt, a the winner
std::vector<LabelledPair> duel_then_point(const std::vector<LabelledPair>& duels,
                                          const std::vector<double>& points,
                                          double least_gap);

// The images of each prompt with the largest scores, best first, prompts in order of their first
// image; equal scores in order of the images. NaN is never kept. scores, prompts: of each image.
// keep: a number of images from 1 on, or below 1 a share of the prompt's scored images, rounded up
std::vector<int64_t> best_of_each(const std::vector<double>& scores,
                                  const std::vector<int64_t>& prompts,
                                  double keep);

}  // namespace rewards
