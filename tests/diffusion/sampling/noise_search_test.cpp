#include "diffusion/sampling/noise_search.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

TEST(NearNoise, ByHand) {
  const at::Tensor pivot = at::tensor({1.0, -2.0}), fresh = at::tensor({10.0, 5.0});
  EXPECT_TRUE(at::allclose(diffusion::near_noise(pivot, fresh, 0.6), at::tensor({6.8, 1.4})));
  EXPECT_TRUE(at::equal(diffusion::near_noise(pivot, fresh, 1), fresh));
  EXPECT_TRUE(at::equal(diffusion::near_noise(pivot, fresh, 0), pivot));
}

TEST(NearNoise, StaysStandardNormalAtItsDistance) {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor pivot = at::randn({40'000}, generator), fresh = at::randn({40'000}, generator);
  for (const double radius : {0.2, 0.5, 0.9}) {
    const at::Tensor near = diffusion::near_noise(pivot, fresh, radius);
    EXPECT_NEAR(near.std().item<double>(), 1, 0.02) << radius;
    EXPECT_NEAR((near * pivot).mean().item<double>(), std::sqrt(1 - radius * radius), 0.02);
  }
}

TEST(NearNoise, RefusesARadiusOutsideItsRange) {
  const at::Tensor noise = at::zeros({2});
  EXPECT_THROW(diffusion::near_noise(noise, noise, 1.1), c10::Error);
  EXPECT_THROW(diffusion::near_noise(noise, at::zeros({3}), 0.5), c10::Error);
}

}  // namespace
