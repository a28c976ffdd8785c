#pragma once

// Samples by the weighted reward.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "rewards/reward.hpp"

namespace tools {

struct TotalScores {
  at::Tensor raw;    // [n, M] on the CPU
  at::Tensor total;  // [n] the weighted reward
};
// images: [n, 3, H, W] in [0, 1]; prompts: n
TotalScores total_scores(const std::vector<rewards::WeightedReward>& rewards,
                         const at::Tensor& images,
                         const std::vector<std::string>& prompts);

// What rewards read beside the image of each request.
std::vector<std::string> captions_of(const std::vector<diffusion::ImageRequest>& requests);

// The weighted reward of images as they are written, rounded to 8 bits. images: [n, 3, H, W] in
// [0, 1] -> n
std::vector<double> rate_images(const std::vector<rewards::WeightedReward>& rewards,
                                const at::Tensor& images,
                                const std::vector<std::string>& captions);
// The weighted reward of what latents decode to, not rounded. x0: [n, C, h, w] -> n
std::vector<double> rate_latents(const std::vector<rewards::WeightedReward>& rewards,
                                 const diffusion::Pipeline& pipeline,
                                 const at::Tensor& x0,
                                 const std::vector<std::string>& captions);

}  // namespace tools
