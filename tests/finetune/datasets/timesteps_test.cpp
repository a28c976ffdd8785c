#include "finetune/datasets/timesteps.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

namespace {

TEST(Timesteps, OneLiesInEachStretch) {
  at::Generator generator = at::detail::createCPUGenerator(3);
  for (int draw = 0; draw < 50; ++draw) {
    const at::Tensor t = finetune::spread_timesteps(4, 1000, generator);
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(t[i].item<int64_t>() / 250, i) << "draw " << draw << ": " << t;
    EXPECT_EQ(t[3].item<int64_t>() - t[0].item<int64_t>(), 750);
  }
}

TEST(Timesteps, EachIsUniform) {
  at::Generator generator = at::detail::createCPUGenerator(4);
  std::vector<at::Tensor> draws;
  for (int draw = 0; draw < 4000; ++draw)
    draws.push_back(finetune::spread_timesteps(1, 10, generator));
  const at::Tensor counts = at::cat(draws).bincount({}, 10).to(at::kDouble);
  EXPECT_EQ(counts.size(0), 10);
  EXPECT_LT((counts - 400).abs().max().item<double>(), 100) << counts;  // 5 standard deviations: 95
}

}  // namespace
