#include "rewards/judge_student/evaluate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

struct Answers {
  StudentScores scores{};
  at::Tensor q{};  // [N, K, 5] the members' mean
};

Answers answers(const JudgeStudent& student,
                const StudentData& data,
                const at::Tensor& image,
                const at::Tensor& text) {
  if (image.size(0) == 0) return {};
  const at::Tensor i = data.images.index_select(0, image), t = data.texts.index_select(0, text);
  const at::Tensor logits =
      student_logits(student, student_features(student.config, i, t), nullptr);
  return {student_scores(student, i, t),
          (logits / student.temperature.unsqueeze(1)).softmax(-1).mean(0)};
}

void evaluate_points(const Answers& given,
                     const StudentData& data,
                     int64_t k,
                     int64_t resamples,
                     at::Generator& generator,
                     AxisEvaluation& result) {
  const at::Tensor rows = data.points.known.select(1, k).nonzero().squeeze(1);
  result.points = rows.size(0);
  if (result.points < 2) return;
  const at::Tensor bins = data.points.bins.select(1, k).index_select(0, rows),
                   q = given.q.select(1, k).index_select(0, rows);
  const at::Tensor wanted = (bins * bin_centres(bins)).sum(1),
                   mean = given.scores.mean.select(1, k).index_select(0, rows);
  result.agreement = agreement(mean, wanted, resamples, generator);
  result.nll = -(bins * (q + 1e-8).log()).sum(1).mean().item<double>();
  const auto best = q.max(1, /*keepdim=*/true);
  result.ece =
      calibration_error(std::get<0>(best).squeeze(1), bins.gather(1, std::get<1>(best)).squeeze(1));
  const at::Tensor deviation =
      (given.scores.aleatoric + given.scores.epistemic).select(1, k).index_select(0, rows).sqrt();
  const at::Tensor error = (mean - wanted).abs();
  result.error_follows_deviation = spearman(error, deviation);
  const at::Tensor surest = at::argsort(deviation, /*stable=*/true, 0, false);
  result.surest_half_error =
      error.index_select(0, surest.slice(0, 0, (result.points + 1) / 2)).mean().item<double>();
}

// Accuracy of each third of the pairs, from the weakest preference.
std::array<double, 3> by_strength(const at::Tensor& right, const at::Tensor& strength) {
  const at::Tensor order = at::argsort(strength, /*stable=*/true, 0, false);
  std::array<double, 3> thirds{};
  const int64_t count = right.size(0);
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor rows = order.slice(0, count * i / 3, count * (i + 1) / 3);
    if (rows.size(0) > 0)
      thirds[static_cast<size_t>(i)] = right.index_select(0, rows).mean().item<double>();
  }
  return thirds;
}

void evaluate_pairs(const StudentScores& a,
                    const StudentScores& b,
                    const StudentData& data,
                    int64_t k,
                    AxisEvaluation& result) {
  const at::Tensor preference = data.pairs.preference.select(1, k),
                   known = data.pairs.known.select(1, k).gt(0);
  const at::Tensor decided = known & preference.ne(0.5);
  result.pairs = decided.sum().item<int64_t>();
  if (result.pairs == 0) return;
  const at::Tensor right =
      pair_agreement(a.mean.select(1, k), b.mean.select(1, k), preference, 1 - preference)
          .masked_select(decided);
  const at::Tensor strength = (preference - 0.5).abs();
  result.pair_accuracy = right.mean().item<double>();
  result.accuracy_by_strength = by_strength(right, strength.masked_select(decided));
  const at::Tensor own = (student_preference(a, b).select(1, k) - 0.5).abs(),
                   tie = strength.le(0.1);
  result.tie_auc =
      auc(own.masked_select(known & tie), own.masked_select(known & tie.logical_not()));
}

}  // namespace

double calibration_error(const at::Tensor& confidence, const at::Tensor& outcome) {
  data::check_shape(confidence, {-1}, "calibration_error: confidence");
  data::check_shape(outcome, {confidence.size(0)}, "calibration_error: outcome");
  constexpr int64_t kBuckets = 10;
  const at::Tensor bucket = (confidence * kBuckets).floor().clamp(0, kBuckets - 1).to(at::kLong);
  const at::Tensor gap = (confidence - outcome).to(at::kDouble);
  return at::zeros({kBuckets}, at::kDouble).index_add(0, bucket, gap).abs().sum().item<double>() /
         static_cast<double>(std::max<int64_t>(1, confidence.size(0)));
}

double auc(const at::Tensor& low, const at::Tensor& high) {
  data::check_shape(low, {-1}, "auc: low");
  data::check_shape(high, {-1}, "auc: high");
  const at::Tensor difference = (high.unsqueeze(1) - low.unsqueeze(0)).to(at::kDouble);
  return ((difference.sign() + 1) / 2).mean().item<double>();
}

std::vector<AxisEvaluation> evaluate_student(const JudgeStudent& student,
                                             const StudentData& data,
                                             int64_t resamples,
                                             at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const Answers points = answers(student, data, data.points.image, data.points.text);
  const StudentScores a = answers(student, data, data.pairs.a, data.pairs.text).scores,
                      b = answers(student, data, data.pairs.b, data.pairs.text).scores;
  std::vector<AxisEvaluation> results;
  for (size_t k = 0; k < student.config.axes.size(); ++k) {
    AxisEvaluation result{.axis = student.config.axes[k], .agreement = {}};
    const auto axis = static_cast<int64_t>(k);
    evaluate_points(points, data, axis, resamples, generator, result);
    evaluate_pairs(a, b, data, axis, result);
    results.push_back(result);
  }
  return results;
}

}  // namespace rewards
