#include "data/world/oracle.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "data/world/caption.hpp"
#include "data/world/oracle_check.hpp"

namespace {

using world::Colour;
using world::Kind;
using world::Split;

at::Generator generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

world::Scene one_large_blue_square() {
  world::Scene scene;
  scene.background.rgb = {1, 1, 1};
  scene.objects.push_back(
      {Kind::kSquare, Colour::kBlue, world::Size::kLarge, 12.5, 32, 40, {0.1, 0.2, 0.9}, 0});
  return scene;
}

TEST(Oracle, ReadsOneSquare) {
  const auto reading = world::read_scene(world::render(one_large_blue_square()));
  ASSERT_EQ(reading.objects.size(), 1u);
  EXPECT_EQ(reading.objects[0].kind, Kind::kSquare);
  EXPECT_EQ(reading.objects[0].colour, Colour::kBlue);
  EXPECT_EQ(reading.objects[0].size, world::Size::kLarge);
  EXPECT_NEAR(reading.objects[0].x, 32, 0.1);
  EXPECT_NEAR(reading.objects[0].y, 40, 0.1);
  EXPECT_NEAR(reading.objects[0].scale, 12.5, 0.3);
  EXPECT_EQ(reading.background, world::Tone::kWhite);
}

TEST(Oracle, AnEmptyCanvasAndPureNoiseMatchNothing) {
  auto random = generator(1);
  EXPECT_TRUE(world::read_scene(at::full({3, 64, 64}, 0.5)).objects.empty());
  const auto noise = at::rand({3, 64, 64}, random);
  EXPECT_FALSE(world::caption_match(noise, "a red circle").exact);
  EXPECT_FALSE(world::caption_match(at::full({3, 64, 64}, NAN), "a red circle").exact);
}

TEST(Oracle, AStrayShapeIsCounted) {
  auto scene = one_large_blue_square();
  EXPECT_TRUE(world::caption_match(world::render(scene), "a large blue square").exact);
  scene.objects.push_back(
      {Kind::kCircle, Colour::kRed, world::Size::kSmall, 8, 10, 10, {0.9, 0.1, 0.1}, 0});
  const auto match = world::caption_match(world::render(scene), "a large blue square");
  EXPECT_FALSE(match.exact);
  EXPECT_DOUBLE_EQ(match.fraction, 3.0 / 4);
}

// A blob that matches none of the shapes is an object of unknown kind.
TEST(Oracle, AStripeIsNoShape) {
  at::Tensor image = at::ones({3, 64, 64});
  image.slice(1, 30, 35).slice(2, 5, 60).slice(0, 0, 2).fill_(0.1);
  const auto reading = world::read_scene(image);
  ASSERT_EQ(reading.objects.size(), 1u);
  EXPECT_FALSE(reading.objects[0].kind.has_value());
  EXPECT_EQ(reading.objects[0].colour, Colour::kBlue);
}

TEST(Oracle, CleanScenesAreReadWithoutAnError) {
  auto random = generator(2);
  const auto accuracy = world::check_oracle(5000, {}, random);
  EXPECT_EQ(accuracy.count, 1);
  EXPECT_EQ(accuracy.kind, 1);
  EXPECT_EQ(accuracy.colour, 1);
  EXPECT_EQ(accuracy.size, 1);
  EXPECT_EQ(accuracy.background, 1);
  EXPECT_EQ(accuracy.true_captions, 1);
  EXPECT_EQ(accuracy.false_captions, 1);
}

// Every caption that is true of a scene, in every grouping: sizes, places, relations, backgrounds.
TEST(Oracle, AgreesWithTheTruthOnManyCaptionsOfEachScene) {
  auto random = generator(3);
  for (int draw = 0; draw < 300; ++draw) {
    const auto scene = world::random_scene(random, draw % 2 ? Split::kSeen : Split::kUnseen);
    const auto reading = world::read_scene(world::render(scene));
    for (int caption = 0; caption < 20; ++caption) {
      const auto text =
          caption % 2 ? world::caption(scene, random) : world::false_caption(scene, random);
      const auto claims = world::parse_caption(text);
      const auto found = world::match(claims, reading),
                 wanted = world::match(claims, world::truth(scene));
      EXPECT_EQ(found.exact, wanted.exact) << text;
      EXPECT_DOUBLE_EQ(found.fraction, wanted.fraction) << text;
    }
  }
}

TEST(Oracle, StandsBlurAndNoise) {
  auto random = generator(4);
  for (const world::Disturbance& disturbance :
       {world::Disturbance{1, 0}, world::Disturbance{0, 0.05}, world::Disturbance{1, 0.02}}) {
    const auto accuracy = world::check_oracle(500, disturbance, random);
    EXPECT_GE(accuracy.true_captions, 0.99) << disturbance.blur << " " << disturbance.noise;
    EXPECT_GE(accuracy.false_captions, 0.99) << disturbance.blur << " " << disturbance.noise;
  }
}

TEST(Oracle, ReadsLargerPicturesAndBatches) {
  const at::Tensor image = world::render(one_large_blue_square());
  const at::Tensor doubled = image.repeat_interleave(2, 1).repeat_interleave(2, 2);
  EXPECT_TRUE(world::caption_match(doubled, "a large blue square on a white background").exact);
  const auto matches =
      world::caption_matches(at::stack({image, image}), {"a blue square", "a red square"});
  EXPECT_TRUE(matches[0].exact);
  EXPECT_FALSE(matches[1].exact);
}

TEST(Oracle, WrongShapesAndCaptionsAreRefused) {
  EXPECT_THROW(world::read_scene(at::zeros({1, 64, 64})), c10::Error);
  EXPECT_THROW(world::caption_matches(at::zeros({2, 3, 64, 64}), {"a red circle"}), c10::Error);
  EXPECT_THROW(world::caption_match(at::zeros({3, 64, 64}), "a cat"), data::BadInput);
}

TEST(FalseCaption, IsFalse) {
  auto random = generator(5);
  for (int draw = 0; draw < 300; ++draw) {
    const auto scene = world::random_scene(random, Split::kSeen);
    const auto text = world::false_caption(scene, random);
    EXPECT_FALSE(world::match(world::parse_caption(text), world::truth(scene)).exact) << text;
  }
}

TEST(Disturb, KeepsAFlatImageAndAddsTheStatedNoise) {
  auto random = generator(6);
  const at::Tensor flat = at::full({3, 64, 64}, 0.5f);
  EXPECT_TRUE(at::allclose(world::disturb(flat, {2, 0}, random), flat, 0, 1e-5));
  EXPECT_NEAR(world::disturb(flat, {0, 0.05}, random).std().item<double>(), 0.05, 0.002);
  EXPECT_THROW(world::disturb(at::zeros({64, 64}), {}, random), c10::Error);
}

}  // namespace
