#pragma once

// Evaluation of a student on held-out judgements.

#include <array>
#include <string>
#include <vector>

#include "rewards/evaluation/agreement.hpp"
#include "rewards/judge_student/train.hpp"

namespace rewards {

struct AxisEvaluation {
  std::string axis;
  int64_t points = 0;
  Agreement agreement;  // of the student's mean with the judge's, [0, 1]
  double nll = 0;       // cross entropy of the judge's bins under the student's, nats
  double ece = 0;       // expected calibration error of the likeliest bin's probability
  double error_follows_deviation = 0;  // Spearman correlation of |error| and predicted deviation
  double surest_half_error = 0;  // mean absolute error of the half with the smallest predicted
                                 // deviation
  int64_t pairs = 0;
  double pair_accuracy = 0;  // the judge's ties are skipped, the student's count a half
  // The same for each third of the pairs, from the judge's weakest preferences.
  std::array<double, 3> accuracy_by_strength{};
  double tie_auc = 0;  // chance that the student's preference is nearer to a half for a tie of the
                       // judge's (preference within 0.1 of a half) than for a decided pair
};

// One result an axis. Metrics without judgements are 0.
std::vector<AxisEvaluation> evaluate_student(const JudgeStudent& student,
                                             const StudentData& data,
                                             int64_t resamples,
                                             at::Generator& generator);

// Expected calibration error: the mean of |confidence - outcome| over ten equal bins of confidence,
// each weighted by its number of values. confidence, outcome: [N] in [0, 1]
double calibration_error(const at::Tensor& confidence, const at::Tensor& outcome);

// Area under the ROC curve: the chance that a value of `low` is below one of `high`; equal values
// count a half. NaN when either is empty. [N], [M]
double auc(const at::Tensor& low, const at::Tensor& high);

}  // namespace rewards
