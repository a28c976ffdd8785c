#include "finetune/guard/within_prompt.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <random>

#include "finetune/guard/student_t.hpp"

namespace guard {
namespace {

constexpr int kResamples = 400;
constexpr size_t kFewestMoments = 3;

// Standard deviation of the correlation over samples of the prompts with replacement.
double bootstrap_error(const std::vector<PromptMoments>& prompts) {
  std::mt19937_64 random(1);  // the same at every call: an evaluation can be repeated
  double sum = 0, squares = 0;
  for (int k = 0; k < kResamples; ++k) {
    PromptMoments sums;
    for (size_t i = 0; i < prompts.size(); ++i) add(sums, prompts[random() % prompts.size()]);
    const double value = rewards::correlation_of(sums);
    sum += value;
    squares += value * value;
  }
  const double mean = sum / kResamples;
  return std::sqrt(std::max(0.0, squares / kResamples - mean * mean));
}

}  // namespace

PooledCorrelation pooled_correlation(const std::vector<PromptMoments>& prompts, double level) {
  PromptMoments sums;
  for (const auto& one : prompts) add(sums, one);
  PooledCorrelation result{.value = rewards::correlation_of(sums),
                           .error = std::numeric_limits<double>::quiet_NaN(),
                           .bound = std::numeric_limits<double>::quiet_NaN()};
  if (prompts.size() < kFewestMoments) return result;
  result.error = bootstrap_error(prompts);
  result.bound =
      result.value +
      student_t_quantile(1 - level, static_cast<double>(prompts.size() - 1)) * result.error;
  return result;
}

}  // namespace guard
