#pragma once

// Where the next update will move a reward: its covariance within prompts with what is trained. To
// first order every method tilts the images of a prompt by exp(score / beta), so a held-out reward
// h moves by Cov(score, h) / beta.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace guard {

// Centred sums over the images of one prompt.
struct PromptMoments {
  double xy = 0, xx = 0, yy = 0;
};
// One entry for each prompt with two images or more whose scores are both finite, in the order of
// the ids. x, y: [P]
std::vector<PromptMoments> within_prompt_moments(const at::Tensor& x,
                                                 const at::Tensor& y,
                                                 const std::vector<int64_t>& prompt_ids);

struct PooledCorrelation {
  double value = 0;  // in [-1, 1]; 0 where one of them does not vary
  double error = 0;  // standard error, by a seeded bootstrap over prompts; NaN below 3 prompts
  double bound = 0;  // the correlation is below it with confidence 1 - level; NaN as error
  bool falls() const { return bound < 0; }  // a negative one is proven
};
// sum xy / sqrt(sum xx sum yy) over all prompts. level: in (0, 1)
PooledCorrelation pooled_correlation(const std::vector<PromptMoments>& prompts, double level);

}  // namespace guard
