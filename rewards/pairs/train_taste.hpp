#pragma once

// Fits a taste to choices, and measures it on choices whose images it has not seen.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "rewards/pairs/davidson.hpp"
#include "rewards/pairs/folds.hpp"
#include "rewards/pairs/taste.hpp"

namespace rewards {

// The features of the fit: the embeddings, centred and divided by one number, such that their
// variances within prompts sum to 1; each reward's scores, centred and divided by their deviation
// within prompts; and a level that likes are measured from. A ridge then weighs the embedding as
// much as each reward. Pairs lie within prompts: what prompts differ by says nothing about a
// choice.
struct TasteFeatures {
  at::Tensor values;           // [I, D + K + 1] fp64; the last column is 0
  at::Tensor embedding_mean;   // [D]
  double embedding_scale = 1;  // > 0
  at::Tensor score_mean{};     // [K]
  at::Tensor score_scale{};    // [K]; infinite for scores that do not vary
};
//   embeddings: [I, D]; scores: [I, K]; prompts: I, equal for images of one prompt. Without a
//   prompt of several images, deviations are those of all images.
TasteFeatures taste_features(const at::Tensor& embeddings,
                             const at::Tensor& scores,
                             const std::vector<int64_t>& prompts);

// The same answers, each weighed by its p, and after them the opposite of every pair whose p is
// below 1, weighed by 1 - p: a soft label is two answers.
TasteData with_opposites(TasteData data);
// The rows of the fit, one for each answer as it is.
Comparisons comparisons_of(const TasteData& data, const TasteFeatures& features);
std::vector<ChoiceImages> images_of(const TasteData& data);

// The ridges with the least weighted loss on held-out answers, each fold once; of equal ones the
// strongest. First `shared` from 10^4 down to 10^-2 in half decades, then, where there are several
// people, `own`: infinity and the same numbers. `left_out`: a fold that is not looked at; -1: none.
Ridges choose_ridges(const Comparisons& data,
                     const std::vector<ChoiceImages>& images,
                     const Folds& folds,
                     int64_t left_out);

struct TrainedTaste {
  Taste taste;  // without its fingerprint
  Ridges ridges;
  Folds folds;
  // z of each answer by a taste (with ridges of its own) that saw none of its images. [N] fp64;
  // NaN: the answer is between two folds
  at::Tensor held_out{};
};
// `report` is called after each of folds.count + 1 fits with all their ridges. At least 2 images.
// A fit of all answers with these ridges. -> without its fingerprint
Taste fit_taste(const TasteData& data, const Ridges& ridges);
// The same answers, each as often as a sample of their number with replacement has it.
TasteData resampled(TasteData data, at::Generator& generator);

TrainedTaste train_taste(const TasteData& data,
                         int64_t folds,
                         const std::function<void()>& report = {});

// The share of decided pairs (no ties, no likes) for which `difference` (a minus b, [N]) has the
// sign of the answer; 0 counts half; NaN does not count. Of one person, or of all (-1).
struct PairAgreement {
  Interval share;  // Wilson's
  int64_t pairs = 0;
};
PairAgreement agreement_with(const at::Tensor& difference,
                             const std::vector<TasteAnswer>& answers,
                             int64_t person = -1);

// How often a person gives the same answer again about the same two items, sides aside; a tie
// beside a decision counts half. Each answer is compared with the person's one before it.
PairAgreement own_consistency(const std::vector<TasteAnswer>& answers, int64_t person = -1);

}  // namespace rewards
