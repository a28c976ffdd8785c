#include "rewards/combine/diversity.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

namespace {

using rewards::image_diversity;
using rewards::mean_diversity;

// Directions 0, 90 and 45 degrees: cosines 0, sqrt(1/2), sqrt(1/2). Lengths do not count.
TEST(ImageDiversity, IsTheMeanDistanceToThePromptsOtherImages) {
  const at::Tensor features = at::tensor({2.0, 0.0, 0.0, 0.5, 3.0, 3.0}, at::kDouble).view({3, 2});
  const at::Tensor found = image_diversity(features, {7, 7, 7});
  const double half = std::sqrt(0.5);
  EXPECT_NEAR(found[0].item<double>(), (1 + 1 - half) / 2, 1e-12);
  EXPECT_NEAR(found[1].item<double>(), (1 + 1 - half) / 2, 1e-12);
  EXPECT_NEAR(found[2].item<double>(), 1 - half, 1e-12);
  EXPECT_NEAR(mean_diversity(features, {7, 7, 7}), found.mean().item<double>(), 1e-12);
}

TEST(ImageDiversity, ComparesNoImagesOfOtherPrompts) {
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor features = at::rand({6, 5}, generator, at::kDouble);
  const std::vector<int64_t> ids = {1, 0, 1, 2, 0, 1};
  const at::Tensor all = image_diversity(features, ids);
  const at::Tensor rows = at::tensor({0, 2, 5}, at::kLong);
  EXPECT_TRUE(at::allclose(all.index_select(0, rows),
                           image_diversity(features.index_select(0, rows), {0, 0, 0})));
  EXPECT_EQ(all[3].item<double>(), 0);  // alone in its prompt
  EXPECT_NEAR(
      mean_diversity(features, ids),
      (all.index_select(0, rows).mean() + all.index_select(0, at::tensor({1, 4}, at::kLong)).mean())
              .item<double>() /
          2,
      1e-12);
}

TEST(ImageDiversity, IsZeroForCopiesAndOneForOrthogonalImages) {
  const at::Tensor features = at::tensor({1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 2.0}).view({4, 2});
  EXPECT_NEAR(mean_diversity(features, {0, 0, 1, 1}), 0.5, 1e-12);
  EXPECT_EQ(mean_diversity(features, {0, 1, 2, 3}), 0);
  EXPECT_NEAR(image_diversity(features, {0, 0, 1, 1})[0].item<double>(), 0, 1e-12);
}

// To the last bit: a spread of rounding alone would stand for a difference.
TEST(ImageDiversity, OfTwoImagesIsOneNumber) {
  auto generator = at::detail::createCPUGenerator(2);
  for (int i = 0; i < 20; ++i) {
    const at::Tensor found = image_diversity(at::rand({2, 64}, generator), {0, 0});
    EXPECT_EQ(found[0].item<double>(), found[1].item<double>());
  }
}

TEST(ImageDiversity, RefusesAnotherNumberOfRows) {
  EXPECT_THROW(image_diversity(at::zeros({3, 2}), {0, 0}), c10::Error);
}

}  // namespace
