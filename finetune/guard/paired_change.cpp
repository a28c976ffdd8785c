#include "finetune/guard/paired_change.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "finetune/guard/student_t.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace guard {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The mean of what is finite.
struct FiniteMean {
  double sum = 0, count = 0;
  void add(double value) {
    if (!std::isfinite(value)) return;
    sum += value;
    ++count;
  }
  double value() const { return count > 0 ? sum / count : kNone; }
};

double deviation(const at::Tensor& column) {
  const at::Tensor kept = column.masked_select(column.isfinite());
  return kept.numel() < 2 ? 0 : kept.std(/*unbiased=*/true).item<double>();
}

void test_mean(const std::vector<double>& by_prompt, double level, PairedChange& change) {
  const auto count = static_cast<double>(by_prompt.size());
  change.prompts = static_cast<int64_t>(by_prompt.size());
  change.mean = change.error = change.bound = kNone;
  if (by_prompt.empty()) return;
  double sum = 0, squares = 0;
  for (const double one : by_prompt) sum += one;
  change.mean = sum / count;
  if (by_prompt.size() < 2) return;
  for (const double one : by_prompt) squares += (one - change.mean) * (one - change.mean);
  change.error = std::sqrt(squares / (count - 1) / count);
  change.bound = upper_bound(change, level);
}

}  // namespace

double upper_bound(const PairedChange& change, double level) {
  if (change.prompts < 2) return kNone;
  return change.mean +
         student_t_quantile(1 - level, static_cast<double>(change.prompts - 1)) * change.error;
}

at::Tensor change_scales(const at::Tensor& start, const std::vector<int64_t>& prompt_ids) {
  at::Tensor scales = at::ones({start.size(1)}, at::kDouble);
  for (int64_t h = 0; h < start.size(1); ++h) {
    const at::Tensor column = start.select(1, h);
    const double within = rewards::spread_within_prompts(column, prompt_ids),
                 scale = within > 0 ? within : deviation(column);
    if (scale > 0) scales[h] = scale;
  }
  return scales;
}

PairedChange paired_change(const at::Tensor& now,
                           const at::Tensor& start,
                           const at::Tensor& scales,
                           const std::vector<int64_t>& prompt_ids,
                           double level) {
  TORCH_CHECK(now.dim() == 2 && now.sizes() == start.sizes() &&
                  now.size(0) == static_cast<int64_t>(prompt_ids.size()) &&
                  scales.numel() == now.size(1),
              "paired_change: expected two [I, H], H scales and I prompts, got ", now.sizes(), ", ",
              start.sizes(), ", ", scales.numel(), ", ", prompt_ids.size());
  const at::Tensor change = ((now - start).to(at::kDouble) / scales).contiguous();
  const auto value = change.accessor<double, 2>();  // [I, H]
  const int64_t rewards = change.size(1);
  PairedChange result;
  std::vector<FiniteMean> by_reward(static_cast<size_t>(rewards));
  for (int64_t i = 0; i < change.size(0); ++i) {
    FiniteMean image;
    for (int64_t h = 0; h < rewards; ++h) {
      image.add(value[i][h]);
      by_reward[static_cast<size_t>(h)].add(value[i][h]);
    }
    result.by_image.push_back(image.value());
  }
  for (const auto& one : by_reward) result.by_reward.push_back(one.value());
  std::vector<double> by_prompt;
  for (const auto& rows : rewards::rows_of_groups(prompt_ids)) {
    FiniteMean prompt;
    for (int64_t h = 0; h < rewards; ++h) {
      FiniteMean images;
      for (const int64_t row : rows) images.add(value[row][h]);
      prompt.add(images.value());
    }
    if (prompt.count > 0) by_prompt.push_back(prompt.value());
  }
  test_mean(by_prompt, level, result);
  return result;
}

}  // namespace guard
