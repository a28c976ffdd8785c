#pragma once

// Evaluations for the tests of the guard.

#include <ATen/ATen.h>

#include "finetune/guard/guard.hpp"
#include "finetune/guard/image_statistics.hpp"

namespace guard {

// Two images of each prompt.
inline std::vector<int64_t> pairs_of_images(int64_t prompts) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 2 * prompts; ++i) ids.push_back(i / 2);
  return ids;
}

// In each prompt one image below and one above by 1 / sqrt(2): a deviation of 1 in every column.
inline at::Tensor unit_scores(int64_t prompts, int64_t columns) {
  const double half = std::sqrt(0.5);
  return at::tensor({-half, half}, at::kDouble).repeat({prompts}).unsqueeze(1).repeat({1, columns});
}

// A start at which nothing is odd, for pairs_of_images(prompts).
inline Measures ordinary(int64_t prompts, int64_t held_out = 1) {
  const auto statistics = static_cast<int64_t>(image_statistics().size());
  at::Tensor table = unit_scores(prompts, statistics);
  for (int64_t s = 0; s < statistics; ++s) {
    if (image_statistics()[static_cast<size_t>(s)].measure == clipped_share)
      table.select(1, s).zero_();
  }
  return {.trained = unit_scores(prompts, 1),
          .held_out = unit_scores(prompts, held_out),
          .statistics = table,
          .nearest = at::ones({2 * prompts}, at::kDouble),
          .diversity = 0.2,
          .kl_nats = 0,
          .disagreement = 0.1};
}

inline GuardOptions ordinary_options(int64_t held_out = 1) {
  GuardOptions options{.trained = {"taste"}, .evaluations = 10};
  for (int64_t h = 0; h < held_out; ++h) options.held_out.push_back("other" + std::to_string(h));
  return options;
}

}  // namespace guard
