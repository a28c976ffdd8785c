#include "rewards/judge_student/calibrate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <limits>

#include "rewards/judge_student/loss.hpp"

namespace rewards {
namespace {

constexpr double kLeastProbability = 1e-8;

// The value of a geometric grid with the smallest loss.
double best_of_grid(double low, double high, const std::function<double(double)>& loss) {
  constexpr int kSteps = 48;
  double best = 1, least = std::numeric_limits<double>::infinity();
  for (int step = 0; step <= kSteps; ++step) {
    const double value = low * std::pow(high / low, static_cast<double>(step) / kSteps);
    const double found = loss(value);
    if (found < least) {
      least = found;
      best = value;
    }
  }
  return best;
}

at::Tensor column(const at::Tensor& x, int64_t k) { return x.slice(-1, k, k + 1); }

void calibrate_axis(JudgeStudent& student,
                    const StudentData& data,
                    const at::Tensor& logits,
                    int64_t k) {
  if (data.points.known.size(0) == 0 || column(data.points.known, k).sum().item<double>() == 0)
    return;
  const at::Tensor known = column(data.points.known, k).squeeze(1),
                   bins = data.points.bins.select(1, k);
  student.temperature[k].fill_(best_of_grid(0.25, 4, [&](double value) {
    const at::Tensor q = (logits.select(2, k) / value).softmax(-1).mean(0);  // [N, 5]
    const at::Tensor loss = -(bins * (q + kLeastProbability).log()).sum(-1);
    return ((loss * known).sum() / known.sum()).item<double>();
  }));
}

}  // namespace

void calibrate(JudgeStudent& student, const StudentData& data) {
  const at::NoGradGuard no_grad;
  const auto logits = [&](const at::Tensor& image, const at::Tensor& text) {
    return student_logits(student,
                          student_features(student.config, data.images.index_select(0, image),
                                           data.texts.index_select(0, text)),
                          nullptr);
  };
  const at::Tensor points = logits(data.points.image, data.points.text);
  for (int64_t k = 0; k < student.temperature.size(0); ++k)
    calibrate_axis(student, data, points, k);
  if (data.pairs.text.size(0) == 0) return;
  const auto mean = [&](const at::Tensor& image) {
    return student_moments(logits(image, data.pairs.text), student.temperature).mean;
  };
  const at::Tensor a = mean(data.pairs.a), b = mean(data.pairs.b);
  const at::Tensor weight = at::ones({a.size(0), a.size(1)});
  for (int64_t k = 0; k < student.gain.size(0); ++k) {
    const at::Tensor known = column(data.pairs.known, k);
    if (known.sum().item<double>() == 0) continue;
    student.gain[k].fill_(best_of_grid(1, 200, [&](double value) {
      return pair_loss(column(a, k), column(b, k), at::full({1}, value, a.options()),
                       column(data.pairs.preference, k), known, weight)
          .item<double>();
    }));
  }
}

}  // namespace rewards
