#pragma once

// How two scores vary together among the images of one prompt. To first order every method tilts
// the images of a prompt by exp(score / beta), so another score h moves by Cov(score, h) / beta.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace rewards {

// Centred sums over the images of one prompt.
struct PromptMoments {
  double xy = 0, xx = 0, yy = 0;
};
void add(PromptMoments& sums, const PromptMoments& one);

// One entry for each prompt with two images or more whose scores are both finite, in the order of
// the ids. x, y: [P]
std::vector<PromptMoments> within_prompt_moments(const at::Tensor& x,
                                                 const at::Tensor& y,
                                                 const std::vector<int64_t>& prompt_ids);

// xy / sqrt(xx yy) of sums over prompts, in [-1, 1]; 0 where one of the two does not vary.
double correlation_of(const PromptMoments& sums);
// The same of all prompts together.
double within_prompt_correlation(const at::Tensor& x,
                                 const at::Tensor& y,
                                 const std::vector<int64_t>& prompt_ids);

}  // namespace rewards
