#include "finetune/guard/within_prompt.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <random>

#include "finetune/guard/student_t.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace guard {
namespace {

constexpr int kResamples = 400;
constexpr size_t kFewestMoments = 3;

double correlation(const PromptMoments& sums) {
  const double scale = std::sqrt(sums.xx * sums.yy);
  return scale > 0 ? sums.xy / scale : 0;
}

void add(PromptMoments& sums, const PromptMoments& one) {
  sums.xy += one.xy;
  sums.xx += one.xx;
  sums.yy += one.yy;
}

// Standard deviation of the correlation over samples of the prompts with replacement.
double bootstrap_error(const std::vector<PromptMoments>& prompts) {
  std::mt19937_64 random(1);  // the same at every call: an evaluation can be repeated
  double sum = 0, squares = 0;
  for (int k = 0; k < kResamples; ++k) {
    PromptMoments sums;
    for (size_t i = 0; i < prompts.size(); ++i) add(sums, prompts[random() % prompts.size()]);
    const double value = correlation(sums);
    sum += value;
    squares += value * value;
  }
  const double mean = sum / kResamples;
  return std::sqrt(std::max(0.0, squares / kResamples - mean * mean));
}

}  // namespace

std::vector<PromptMoments> within_prompt_moments(const at::Tensor& x,
                                                 const at::Tensor& y,
                                                 const std::vector<int64_t>& prompt_ids) {
  TORCH_CHECK(x.dim() == 1 && x.sizes() == y.sizes() &&
                  x.size(0) == static_cast<int64_t>(prompt_ids.size()),
              "within_prompt_moments: expected two [P] and P prompts, got ", x.sizes(), ", ",
              y.sizes(), ", ", prompt_ids.size());
  const at::Tensor both = at::stack({x, y}, 1).to(at::kCPU, at::kDouble);  // [P, 2]
  const at::Tensor sums = both.sum(1);                                     // finite where both are
  std::vector<PromptMoments> prompts;
  for (const auto& rows : rewards::prompt_groups(sums, prompt_ids)) {
    if (rows.size() < 2) continue;
    const at::Tensor group = both.index_select(0, at::tensor(rows, at::kLong));
    const at::Tensor centred = group - group.mean(0, /*keepdim=*/true);
    const at::Tensor products = centred.t().mm(centred);  // [2, 2]
    prompts.push_back({products[0][1].item<double>(), products[0][0].item<double>(),
                       products[1][1].item<double>()});
  }
  return prompts;
}

PooledCorrelation pooled_correlation(const std::vector<PromptMoments>& prompts, double level) {
  PromptMoments sums;
  for (const auto& one : prompts) add(sums, one);
  PooledCorrelation result{.value = correlation(sums),
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
