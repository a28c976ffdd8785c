#include "rewards/pairs/examples.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rewards/pairs/files.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"

namespace {

const rewards::ExampleOptions kUsual;

at::Tensor points(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).view({-1, 2});
}
const at::Tensor kNone = at::zeros({0, 2}, at::kDouble);

// 16 points on the axes of the plane: covariance I / 2, so that whitening multiplies by sqrt(2).
at::Tensor cross() { return points({1, 0, -1, 0, 0, 1, 0, -1}).repeat({4, 1}); }

TEST(Examples, ByHand) {
  // Three likes at (1, 0), y = (sqrt 2, 0): variances (3 x 0 + 8) / 11; others: 1. At (1, 0) the
  // two axes give 2/2 - 0 and 0; at (0, 1) they give 0 - 2 / (16/11) and 2/2 - 2 / (16/11). Without
  // one of the likes the others are the same point, so the cap is the score there.
  const auto found = rewards::fit_examples(points({1, 0, 1, 0, 1, 0}), kNone, cross(), kUsual);
  const auto scores = rewards::example_scores(found, points({1, 0, 0, 1, 4, 0}));
  EXPECT_NEAR(scores[0].item<double>(), 0.5, 1e-9);
  EXPECT_NEAR(scores[1].item<double>(), (-1.375 - 0.375) / 2, 1e-9);
  EXPECT_NEAR(found.cap, 0.5, 1e-9);
}

TEST(Examples, KeepsTheAxisThatTellsThemApart) {
  auto options = kUsual;
  options.axes = 1;
  const at::Tensor tilted = cross() * at::tensor({1.0, 0.5}, at::kDouble);  // two distinct axes
  const auto found =
      rewards::fit_examples(points({0, 1, 0, 1.1, 0.05, 0.9}), kNone, tilted, options);
  EXPECT_EQ(found.axes.size(0), 1);
  EXPECT_LT(found.axes[0][0].abs().item<double>(), 1e-9);
}

TEST(Examples, NothingScoresAboveTheCap) {
  auto generator = at::detail::createCPUGenerator(3);
  const at::Tensor background = at::randn({40, 6}, generator, at::kDouble);
  const at::Tensor likes = at::randn({5, 6}, generator, at::kDouble) + 1;
  const auto found =
      rewards::fit_examples(likes, at::zeros({0, 6}, at::kDouble), background, kUsual);
  const auto scores = rewards::example_scores(found, at::cat({background, likes}));
  EXPECT_LE(scores.max().item<double>(), found.cap);
  EXPECT_LT(found.low, found.cap);
}

TEST(Examples, GradientAgreesWithDifferences) {
  auto found = rewards::fit_examples(points({1, 0, 0.9, 0.1, 0.8, 0}), kNone, cross(), kUsual);
  found.cap = 100;
  const auto f = [&](const at::Tensor& x) { return rewards::example_scores(found, x).sum(); };
  EXPECT_LT(gradient_error(f, points({0.3, -0.2, 0.7, 0.1})), 1e-7);
}

TEST(Examples, TellLikesFromOthersThatDiffer) {
  auto generator = at::detail::createCPUGenerator(4);
  const at::Tensor background = at::randn({128, 8}, generator, at::kDouble);
  at::Tensor shift = at::zeros({8}, at::kDouble);
  shift[2] = 3;
  // A shift of 3 deviations: the area of a classifier that knows the axis is Phi(3 / sqrt 2) =
  // 0.98. The other seven axes of the mean add noise. 0.8 is 9 standard errors (0.02) below it.
  const at::Tensor likes = at::randn({12, 8}, generator, at::kDouble) + shift;
  const at::Tensor none = at::zeros({0, 8}, at::kDouble);
  EXPECT_GT(rewards::left_out_auc(likes, none, background, kUsual).value, 0.8);
  const at::Tensor alike = at::randn({12, 8}, generator, at::kDouble);
  const auto blind = rewards::left_out_auc(alike, none, background, kUsual);
  EXPECT_LT(blind.low, 0.7);
  const at::Tensor dislikes = at::randn({10, 8}, generator, at::kDouble) - shift;
  EXPECT_GT(rewards::left_out_auc(likes, dislikes, background, kUsual).value, 0.9);
}

TEST(Examples, RefusesTooFewAndOtherFiles) {
  EXPECT_THROW(rewards::fit_examples(points({1, 0}), kNone, cross(), kUsual), c10::Error);
  EXPECT_NE(refusal([] {
              rewards::take_examples({.tensors = {}, .metadata = {}, .source = "x.safetensors"});
            }).find("x.safetensors: expected a reward by `laurel train-reward examples`"),
            std::string::npos);
}

TEST(Examples, LoadsWhatWasSaved) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "laurel_examples_file";
  auto found = rewards::fit_examples(points({1, 0, 0.9, 0.1, 0.8, 0}), kNone, cross(), kUsual);
  found.fingerprint = at::zeros({2});
  rewards::save_examples(folder, found);
  const auto loaded = rewards::load_examples(folder);
  const at::Tensor x = points({0.3, -0.2});
  EXPECT_NEAR(rewards::example_scores(loaded, x.to(at::kFloat)).item<double>(),
              rewards::example_scores(found, x).item<double>(), 1e-5);
  std::filesystem::remove_all(folder);
}

}  // namespace
