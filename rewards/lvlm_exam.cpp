#include "rewards/lvlm_exam.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/shape.hpp"

namespace rewards {
namespace {

struct Answers {
  LvlmScores scores;
  at::Tensor q;  // [N, K, 5] the members' mean
};

Answers answers(const LvlmStudent& student,
                const LvlmData& data,
                const at::Tensor& image,
                const at::Tensor& text) {
  const at::Tensor i = data.images.index_select(0, image), t = data.texts.index_select(0, text);
  const at::Tensor logits = lvlm_logits(student, lvlm_features(student.config, i, t), nullptr);
  return {lvlm_scores(student, i, t),
          (logits / student.temperature.unsqueeze(1)).softmax(-1).mean(0)};
}

void examine_points(const Answers& given,
                    const LvlmData& data,
                    int64_t k,
                    int64_t resamples,
                    at::Generator& generator,
                    AxisExam& exam) {
  const at::Tensor rows = data.points.known.select(1, k).nonzero().squeeze(1);
  exam.points = rows.size(0);
  if (exam.points < 2) return;
  const at::Tensor bins = data.points.bins.select(1, k).index_select(0, rows),
                   q = given.q.select(1, k).index_select(0, rows);
  const at::Tensor wanted = (bins * bin_centres(bins)).sum(1),
                   mean = given.scores.mean.select(1, k).index_select(0, rows);
  exam.agreement = agreement(mean, wanted, resamples, generator);
  exam.nll = -(bins * (q + 1e-8).log()).sum(1).mean().item<double>();
  const auto best = q.max(1, /*keepdim=*/true);
  exam.ece =
      calibration_error(std::get<0>(best).squeeze(1), bins.gather(1, std::get<1>(best)).squeeze(1));
  const at::Tensor deviation =
      (given.scores.aleatoric + given.scores.epistemic).select(1, k).index_select(0, rows).sqrt();
  exam.error_follows_deviation = spearman((mean - wanted).abs(), deviation);
}

void examine_pairs(const at::Tensor& mean_a,
                   const at::Tensor& mean_b,
                   const LvlmData& data,
                   int64_t k,
                   AxisExam& exam) {
  const at::Tensor preference = data.pairs.preference.select(1, k);
  const at::Tensor decided = data.pairs.known.select(1, k).gt(0) & preference.ne(0.5);
  exam.pairs = decided.sum().item<int64_t>();
  if (exam.pairs == 0) return;
  const at::Tensor right =
      pair_agreement(mean_a.select(1, k), mean_b.select(1, k), preference, 1 - preference);
  exam.pair_accuracy = right.masked_select(decided).mean().item<double>();
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

std::vector<AxisExam> lvlm_exam(const LvlmStudent& student,
                                const LvlmData& data,
                                int64_t resamples,
                                at::Generator& generator) {
  const at::NoGradGuard no_grad;
  const Answers points = answers(student, data, data.points.image, data.points.text);
  const at::Tensor a = answers(student, data, data.pairs.a, data.pairs.text).scores.mean,
                   b = answers(student, data, data.pairs.b, data.pairs.text).scores.mean;
  std::vector<AxisExam> exams;
  for (size_t k = 0; k < student.config.axes.size(); ++k) {
    AxisExam exam{.axis = student.config.axes[k], .agreement = {}};
    const auto axis = static_cast<int64_t>(k);
    examine_points(points, data, axis, resamples, generator, exam);
    examine_pairs(a, b, data, axis, exam);
    exams.push_back(exam);
  }
  return exams;
}

}  // namespace rewards
