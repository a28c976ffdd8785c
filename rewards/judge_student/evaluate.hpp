#pragma once

// How well a student follows its judge, on judgements that it was not trained on.

#include <array>
#include <string>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "rewards/judge_student/train.hpp"

namespace rewards {

struct AxisExam {
  std::string axis;
  int64_t points = 0;
  Agreement agreement;  // of the student's mean with the judge's, [0, 1]
  double nll = 0;       // cross entropy of the judge's bins under the student's, nats
  double ece = 0;       // of the likeliest bin's probability, against what the judge gives that bin
  double error_follows_deviation = 0;  // Spearman of |error| and the student's own deviation
  double surest_half_error = 0;  // mean absolute error where the student's own deviation is below
                                 // its median: less than over all, if the deviation means something
  int64_t pairs = 0;
  double pair_accuracy = 0;  // judge's ties skipped, student's a half; mean over pairs
  // The same by thirds of the pairs, from those that the judge is least sure of.
  std::array<double, 3> accuracy_by_strength{};
  double tie_auc = 0;  // chance that a tie of the judge's (preference within 0.1 of a half) is
                       // nearer to a half for the student than a decided pair
};

// One for each axis of the student. Undefined figures (no such judgements) are 0.
std::vector<AxisExam> lvlm_exam(const LvlmStudent& student,
                                const LvlmData& data,
                                int64_t resamples,
                                at::Generator& generator);

// Expected calibration error: the mean of |confidence - outcome| over ten equal bins of confidence,
// each weighted by what falls into it. confidence, outcome: [N] in [0, 1]
double calibration_error(const at::Tensor& confidence, const at::Tensor& outcome);

// Chance that a value of `low` is below one of `high`, equal ones counting a half; NaN when either
// is empty. [N], [M]
double auc(const at::Tensor& low, const at::Tensor& high);

}  // namespace rewards
