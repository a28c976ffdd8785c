#pragma once

// Chains whose value is known in closed form.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <string>
#include <vector>

#include "rewards/value/train.hpp"

namespace tests {

inline constexpr double kSlope = 2;
inline const std::vector<double> kSignals{0.3, 0.8, 0.999};  // at timesteps 800, 300, 10

// A chain whose x_0 is standard normal, noised anew at each step, and r = slope mean(x_0): E[x_0 |
// x] = signal x, so that the value is slope signal mean(x).
inline rewards::ValueData gaussian_chains(int64_t prompts,
                                          int64_t chains,
                                          uint64_t seed,
                                          double slope = kSlope) {
  auto generator = at::detail::createCPUGenerator(seed);
  rewards::ValueData data{
      .prompts = {}, .timesteps = {800, 300, 10}, .digest = std::to_string(seed)};
  for (int64_t p = 0; p < prompts; ++p) {
    const at::Tensor clean =
        at::randn({chains, 1, 1, 1}, generator).expand({chains, 1, 4, 4}).contiguous();
    std::vector<at::Tensor> steps;
    for (const double signal : kSignals) {
      const at::Tensor noise = at::randn({chains, 1, 1, 1}, generator);
      steps.push_back(signal * clean + std::sqrt(1 - signal * signal) * noise);
    }
    data.prompts.push_back({.latents = at::stack(steps, 1).to(at::kHalf),
                            .expected = {},
                            .rewards = slope * clean.mean({1, 2, 3}).to(at::kDouble),
                            .text = at::randn({4}, generator)});
  }
  return data;
}

}  // namespace tests
