#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace finetune {

// Whose images are drawn: one a seed, each from its own generator.
struct SampleRequests {
  std::vector<int64_t> prompt_ids;  // P
  std::vector<uint64_t> seeds;      // P
  std::vector<uint64_t>
      noise_seeds;  // of the initial noise: P, or empty for the same generator as the steps
  // T: how many images, side by side, share each step's transition; each a multiple of the next.
  // Empty: none do. Only of rollouts.
  std::vector<int64_t> branch_sizes{};
};

// How a model draws images: prompts by their rows of a set, one image a seed.
struct DrawnLatents {
  at::Tensor latents;  // [P, C, H, W] clean
  at::Tensor kl;       // [P, T] fp64 nats; T is 0 where the images' steps have no probability
};
using DrawLatents = std::function<DrawnLatents(const SampleRequests& draw)>;

}  // namespace finetune
