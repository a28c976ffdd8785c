#include "rewards/facts/image_facts.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "data/images/pixel_measures.hpp"
#include "rewards/registry/registry.hpp"
#include "tests/support/gradient_check.hpp"

namespace {

const rewards::ImageFact& fact(const std::string& name) {
  const auto& all = rewards::image_facts();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == name; });
  TORCH_CHECK(found != all.end(), "no fact ", name);
  return *found;
}

double value(const std::string& name, const at::Tensor& image) {
  return fact(name).measure(image).item<double>();
}

at::Tensor plain(double red, double green, double blue, int64_t height = 16, int64_t width = 16) {
  return at::tensor({red, green, blue}, at::kDouble)
      .view({1, 3, 1, 1})
      .expand({1, 3, height, width})
      .clone();
}

// Grey levels [H, W] as a picture.
at::Tensor grey(const at::Tensor& levels) {
  return levels.to(at::kDouble).expand({1, 3, levels.size(0), levels.size(1)}).clone();
}

// Black, white from column `from` on.
at::Tensor step(int64_t size, int64_t from) {
  at::Tensor levels = at::zeros({size, size});
  levels.slice(1, from).fill_(1);
  return grey(levels);
}

at::Tensor drawn(int64_t batch, int64_t side = 12) {
  auto generator = at::detail::createCPUGenerator(3);
  return at::rand({batch, 3, side, side}, generator, at::kDouble) * 0.8 + 0.1;
}

TEST(ImageFacts, SaturationAndContrastByHand) {
  EXPECT_NEAR(value("saturation", plain(0.9, 0.4, 0.2)), 0.7, 1e-12);
  EXPECT_NEAR(value("saturation", plain(0.4, 0.4, 0.4)), 0, 1e-12);
  EXPECT_NEAR(value("contrast", step(8, 4)), 0.5, 1e-12);
  EXPECT_NEAR(value("contrast", step(8, 6)), std::sqrt(0.25 * 0.75), 1e-12);
}

TEST(ImageFacts, WarmShareByHand) {
  EXPECT_NEAR(value("warm_share", plain(0.5, 0.5, 0.5)), 0.5, 1e-9);
  EXPECT_NEAR(value("warm_share", plain(1, 0.5, 0)), 1, 1e-5);
  // A quarter of the columns is warm by 0.6, the others are cold by 0.2.
  at::Tensor mixed = plain(0.2, 0, 0.4, 8, 8);
  mixed.slice(3, 0, 2) = plain(0.8, 0, 0.2, 8, 2);
  EXPECT_NEAR(value("warm_share", mixed), 0.6 * 2 / (0.6 * 2 + 0.2 * 6), 1e-5);
}

TEST(ImageFacts, HuesByHand) {
  const std::vector<std::pair<at::Tensor, double>> colours = {
      {plain(1, 0, 0), 0},   {plain(1, 1, 0), 60},    {plain(0, 1, 0), 120}, {plain(0, 1, 1), 180},
      {plain(0, 0, 1), 240}, {plain(1, 0, 0.5), 330}, {plain(1, 0.5, 0), 30}};
  for (const auto& [image, hue] : colours) {
    EXPECT_EQ(value("dominant_hue", image), hue);
    EXPECT_NEAR(value("hue_share", image), 1, 1e-5);
  }
  at::Tensor mixed = plain(0, 0, 0.5, 8, 8);    // blue: 6 columns of chroma 0.5
  mixed.slice(3, 0, 2) = plain(1, 0, 0, 8, 2);  // red: 2 of chroma 1
  EXPECT_EQ(value("dominant_hue", mixed), 240);
  EXPECT_NEAR(value("hue_share", mixed), 3.0 / 5, 1e-5);
  EXPECT_EQ(value("hue_share", plain(0.3, 0.3, 0.3)), 0);
}

TEST(ImageFacts, EdgesSharpnessAndNoiseByHand) {
  // Of 6 x 6 windows of a picture of 8 x 8, those of two columns see the step.
  EXPECT_NEAR(value("edge_density", step(8, 4)), 2.0 / 6, 1e-12);
  EXPECT_EQ(value("edge_density", plain(0.2, 0.7, 0.1)), 0);
  // The Laplacian of the step is 1 and -1 beside it.
  EXPECT_NEAR(value("sharpness", step(8, 4)), 2.0 / 6, 1e-12);
  // Immerkaer's mask is blind to lines and planes.
  EXPECT_NEAR(value("noise_level", step(8, 4)), 0, 1e-9);
  // It responds to white noise by its deviation; here 8 of 255.
  auto generator = at::detail::createCPUGenerator(1);
  const at::Tensor noise = 0.5 + 8.0 / 255 * at::randn({200, 200}, generator, at::kDouble);
  EXPECT_NEAR(value("noise_level", grey(noise)), 8, 0.2);
}

TEST(ImageFacts, EmptyShareByHand) {
  at::Tensor image = plain(0.4, 0.4, 0.4);
  EXPECT_EQ(value("empty_share", image), 1);
  image.slice(2, 0, 8).slice(3, 0, 8) = step(8, 4);  // one of four blocks
  EXPECT_EQ(value("empty_share", image), 0.75);
}

TEST(ImageFacts, ThePlaceOfTheContrastByHand) {
  at::Tensor levels = at::zeros({9, 9});
  levels[4][4] = 1;
  EXPECT_NEAR(value("offset_from_centre", grey(levels)), 0, 1e-5);
  // All pixels weigh 1/81 but the last corner, which weighs 80/81: half of the mass is there, the
  // other half around the opposite of the mean place, which is 0 - 1/80 of the corner's.
  at::Tensor corner = at::zeros({9, 9});
  corner[8][8] = 1;
  const double place = 8.0 / 9;  // of the last pixel's centre
  EXPECT_NEAR(value("offset_from_centre", grey(corner)), (80 * place - place) / 160, 1e-5);
}

TEST(ImageFacts, SymmetryBorderAndVignetteByHand) {
  EXPECT_EQ(value("symmetry", plain(0.1, 0.5, 0.9)), 1);
  EXPECT_EQ(value("symmetry", step(8, 4)), 0);
  EXPECT_EQ(value("symmetry", step(8, 6)), 0.5);
  at::Tensor framed = plain(0, 0, 0);
  framed.slice(2, 2, 14).slice(3, 2, 14) = plain(1, 1, 1, 12, 12);
  EXPECT_NEAR(value("border_brightness", framed), 0, 1e-9);
  EXPECT_NEAR(value("border_brightness", 1 - framed), 1, 1e-9);
  // The middle is white; of a corner of 4 x 4, 2 x 2 pixels are.
  EXPECT_NEAR(value("vignette", framed), 1 - 0.25, 1e-9);
}

TEST(ImageFacts, AreThoseOfEachImageAloneAndInTheirRange) {
  const at::Tensor images = drawn(3);
  for (const auto& one : rewards::image_facts()) {
    const at::Tensor together = one.measure(images);
    ASSERT_EQ(together.sizes(), at::IntArrayRef({3})) << one.name;
    EXPECT_TRUE(at::allclose(one.measure(images.slice(0, 1, 2)), together.slice(0, 1, 2)))
        << one.name;
    EXPECT_GE(together.min().item<double>(), one.low) << one.name;
    for (const auto& [height, width] : {std::pair{1, 1}, std::pair{2, 5}, std::pair{3, 1}}) {
      const at::Tensor small = one.measure(plain(0.2, 0.4, 0.9, height, width));
      EXPECT_TRUE(small.isfinite().all().item<bool>()) << one.name << " " << height << " " << width;
    }
  }
}

TEST(ImageFacts, GradientsAgreeWithDifferences) {
  for (const auto& one : rewards::image_facts()) {
    if (!one.differentiable) continue;
    const auto sum = [&](const at::Tensor& x) { return one.measure(x).sum(); };
    EXPECT_LT(gradient_error(sum, drawn(2, 6)), 1e-4) << one.name;
    at::Tensor flat = plain(0.5, 0.5, 0.5).requires_grad_(true);
    sum(flat).backward();
    EXPECT_TRUE(flat.grad().isfinite().all().item<bool>()) << one.name;
  }
}

TEST(ImageFacts, AreRewardsThatFormulasCanName) {
  rewards::RewardSources sources;
  sources.definitions = {"calm=empty_share - 2*noise_level/10"};
  const auto reward = rewards::make_reward("calm", sources);
  EXPECT_FALSE(reward.info.needs_prompt);
  EXPECT_FALSE(reward.info.differentiable);
  const auto score = reward.score({.images = plain(0.3, 0.2, 0.1).to(at::kFloat), .prompts = {}});
  EXPECT_NEAR(score.item<double>(), 1, 1e-5);
  EXPECT_THROW(
      rewards::make_reward("sharpness", {}).score({.images = at::zeros({3, 4, 4}), .prompts = {}}),
      c10::Error);
}

}  // namespace
