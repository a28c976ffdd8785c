#pragma once

// Choices with scores as conditions: Zhang, Liu, Liu, Zhang, Yang, Liu, Chen, Sun, Wang,
// "Reward-augmented data enhances direct preference alignment of LLMs" (2024). A pair whose images
// have scores becomes two: at the score of the preferred image it stays as it is, at the score of
// the other image the choice is turned round. The network then learns what a score looks like, and
// is asked for the highest; what lies beneath it is not unlearnt.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/forward/choices.hpp"

namespace finetune {

// What the scores stand for.
struct ScoreScale {
  double low = 0, high = 1;  // rewards of the lowest and of the highest score
};
// The nearest score of a reward, cut to the range.
int64_t score_of(const ScoreScale& scale, double reward);

struct ConditionedChoices {
  std::vector<ImageChoice> choices;  // two of each pair, side by side
  ScoreScale scale;
  int64_t left_out = 0;  // choices that teach nothing of scores
};

// rewards: [C, 2] fp64, of a and b of each choice. The scale goes from the 1st to the 99th
// percentile of them. Left out are likes of one image, and pairs whose scores do not order the
// images as the choice does: ties, equal scores, contradictions, rewards that are not finite.
// Throws BadInput when none is left.
ConditionedChoices with_scores(const std::vector<ImageChoice>& choices, const at::Tensor& rewards);

// The task's trained rewards of both images of each choice, as one, each image of a prompt rated
// once. -> [C, 2] fp64; NaN where there is no image. Throws BadInput as encode_choices.
at::Tensor rate_choices(const TrainingTask& task,
                        const std::vector<ImageChoice>& choices,
                        const ForwardConfig& config,
                        const Reporter& reporter);

}  // namespace finetune
