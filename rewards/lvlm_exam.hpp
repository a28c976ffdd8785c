#pragma once

// How well a student follows its judge, on judgements that it was not trained on.

#include <string>
#include <vector>

#include "rewards/agreement.hpp"
#include "rewards/train_lvlm.hpp"

namespace rewards {

struct AxisExam {
  std::string axis;
  int64_t points = 0;
  Agreement agreement;  // of the student's mean with the judge's, [0, 1]
  double nll = 0;       // cross entropy of the judge's bins under the student's, nats
  double ece = 0;       // of the likeliest bin's probability, against what the judge gives that bin
  double error_follows_deviation = 0;  // Spearman of |error| and the student's own deviation
  int64_t pairs = 0;
  double pair_accuracy = 0;  // judge's ties skipped, student's a half; mean over pairs
};

// One for each axis of the student. Undefined figures (no such judgements) are 0.
std::vector<AxisExam> lvlm_exam(const LvlmStudent& student,
                                const LvlmData& data,
                                int64_t resamples,
                                at::Generator& generator);

// Expected calibration error: the mean of |confidence - outcome| over ten equal bins of confidence,
// each weighted by what falls into it. confidence, outcome: [N] in [0, 1]
double calibration_error(const at::Tensor& confidence, const at::Tensor& outcome);

}  // namespace rewards
