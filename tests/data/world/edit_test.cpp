#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <array>
#include <set>

#include "data/images/image_io.hpp"
#include "data/world/caption.hpp"
#include "data/world/edit_sample.hpp"
#include "data/world/edit_text.hpp"
#include "data/world/flat_world.hpp"
#include "data/world/oracle.hpp"
#include "tests/support/refusal.hpp"

namespace {

using world::EditOperation;
using world::Split;

at::Generator generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

// A large blue square on white, a small red circle to its right.
world::Scene two_shapes() {
  world::Scene scene;
  scene.background.rgb = {1, 1, 1};
  scene.objects = {
      {world::Kind::kSquare, world::Colour::kBlue, world::Size::kLarge, 12.5, 18, 32, {0, 0, 1}, 0},
      {world::Kind::kCircle, world::Colour::kRed, world::Size::kSmall, 8, 48, 32, {1, 0, 0}, 0}};
  return scene;
}

world::SceneEdit edited(const std::string& instruction) {
  const world::Scene source = two_shapes();
  const world::Edit edit = world::parse_instruction(instruction, source);
  return {source, edit, world::apply(source, edit)};
}

TEST(Edit, EachOperationGivesItsExactScene) {
  EXPECT_EQ(edited("turn the square violet").target.objects[0].colour, world::Colour::kPurple);
  EXPECT_EQ(edited("move the red circle up").target.objects[1].y, 16);
  EXPECT_EQ(edited("make the disc large").target.objects[1].scale, 12.5);
  EXPECT_EQ(edited("remove the square").target.objects.size(), 1u);
  EXPECT_EQ(edited("swap the square and the circle").target.objects[0].x, 48);
  EXPECT_EQ(edited("make the background dark blue").target.background.tone, world::Tone::kNavy);
  const auto added = edited("add a small green ring at the top").target.objects;
  ASSERT_EQ(added.size(), 3u);
  EXPECT_EQ(added[2].x, 32);
  EXPECT_EQ(added[2].y, world::kThird / 2);
}

TEST(Edit, ParsingNamesTheWordOrTheMissingShape) {
  const auto complaint = [](const std::string& text) {
    return refusal([&] { world::parse_instruction(text, two_shapes()); });
  };
  EXPECT_NE(complaint("make the square grean").find("did you mean green?"), std::string::npos);
  EXPECT_NE(complaint("melt the square").find("word 1: expected a verb"), std::string::npos);
  EXPECT_NE(complaint("remove the ring").find("expected a shape of the scene"), std::string::npos);
  EXPECT_NE(complaint("remove the square now").find("the end"), std::string::npos);
  world::Scene twice = two_shapes();
  twice.objects[0].kind = world::Kind::kCircle;
  EXPECT_NE(refusal([&] { world::parse_instruction("remove the circle", twice); }).find("several"),
            std::string::npos);
}

TEST(Edit, DrawnInstructionsReadBackAndBothScenesAreWhatTheOracleSees) {
  auto random = generator(1);
  std::array<int, world::kOperations> seen = {};
  for (int draw = 0; draw < 400; ++draw) {
    const Split split = draw % 2 ? Split::kSeen : Split::kUnseen;
    const auto edit = world::random_edit(random, split);
    world::RandomStream words(random);
    const std::string text = world::instruction(edit.source, edit.edit, words);
    const auto again = world::parse_instruction(text, edit.source);
    EXPECT_EQ(again.operation, edit.edit.operation) << text;
    const auto target = world::apply(edit.source, again);
    EXPECT_TRUE(at::equal(world::render(target), world::render(edit.target))) << text;
    EXPECT_EQ(world::split_of(edit.source, edit.edit), split) << text;
    EXPECT_TRUE(world::well_placed(edit.target)) << text;
    const std::string caption = world::caption(edit.target, random);
    EXPECT_TRUE(world::caption_match(world::render(edit.target), caption).exact) << caption;
    seen[static_cast<size_t>(edit.edit.operation)] += 1;
  }
  for (const int count : seen) EXPECT_GT(count, 20);
}

TEST(EditScore, TheTargetIsPerfectAndTheSourceOnlyDisobeys) {
  auto random = generator(2);
  for (int draw = 0; draw < 600; ++draw) {
    const auto split = draw % 2 ? Split::kSeen : Split::kUnseen;
    const auto edit = world::random_edit(random, split);
    world::RandomStream flat_random(random);
    const auto flat = world::view_of(world::random_flat_edit(flat_random, split));
    for (const auto& view : {world::view_of(edit), flat}) {
      const auto target = data::from_uint8(data::to_uint8(view.target));
      const auto source = data::from_uint8(data::to_uint8(view.source));
      EXPECT_EQ(world::score_edit(view, target).values, (std::array<double, 3>{5, 5, 5}));
      EXPECT_EQ(world::score_edit(view, source).values, (std::array<double, 3>{0, 5, 5}))
          << world::name(edit.edit.operation);
    }
  }
}

TEST(EditScore, HandCountedPixels) {
  const auto view = world::view_of(edited("make the square red"));
  // The counted part of the square excludes one pixel inside its outline: a half side of 10.
  at::Tensor half = view.target.clone();
  half.slice(2, 0, 18).copy_(view.source.slice(2, 0, 18));
  const auto scores = world::score_edit(view, half);
  EXPECT_NEAR(scores.values[0], 2.5, 1e-6);
  EXPECT_EQ(scores.values[1], 5);
  EXPECT_EQ(scores.sentence(), "the blue square is only partly recoloured; None; None");
  at::Tensor stray = view.target.clone();
  stray.slice(1, 0, 8).slice(2, 0, 32).copy_(at::tensor({0.f, 0.f, 0.f}).view({3, 1, 1}));
  EXPECT_EQ(world::score_edit(view, stray).feedback[1], "the background changed");
  // 256 wrong pixels; 1024 give a score of 0.
  EXPECT_NEAR(world::score_edit(view, stray).values[1], 3.75, 1e-6);
  at::Tensor lost = view.target.clone();
  lost.slice(2, 34, 64).fill_(1);
  EXPECT_EQ(world::score_edit(view, lost).values[1], 0);
  EXPECT_EQ(world::score_edit(view, lost).feedback[1], "the red circle changed");
  EXPECT_THROW(world::score_edit(view, at::zeros({3, 32, 32})), c10::Error);
}

TEST(EditScore, FlatNoiseLowersTheQualityAlone) {
  auto random = generator(3);
  at::Tensor sum = at::zeros({3}, at::kDouble);
  for (int draw = 0; draw < 100; ++draw) {
    world::RandomStream words(random);
    const auto view = world::view_of(world::random_flat_edit(words, Split::kSeen));
    const auto noisy = (view.target + 0.06 * at::randn({3, 16, 16}, random)).clamp(0, 1);
    for (int64_t axis = 0; axis < 3; ++axis)
      sum[axis] += world::score_edit(view, noisy).values[static_cast<size_t>(axis)] / 100;
  }
  EXPECT_NEAR(sum[0].item<double>(), 5, 0.01);
  EXPECT_NEAR(sum[1].item<double>(), 5, 0.01);
  EXPECT_NEAR(sum[2].item<double>(), 2.98, 0.2);
}

TEST(EditSample, ComposeTakesTheSharesThatItIsTold) {
  const at::Tensor source = at::zeros({3, 8, 8});
  at::Tensor target = source.clone(), disturbed = source.clone();
  target.slice(1, 0, 4) = 1;
  disturbed.slice(1, 2, 8) = 0.5;
  const world::Flaws half{.followed = 0.5, .disturbed = 0.25};
  const at::Tensor image = world::compose(source, target, disturbed, half);
  EXPECT_EQ((image[0] == 1).sum().item<int64_t>(), 16);   // of 32 changed pixels
  EXPECT_EQ((image[0] == 0.5).sum().item<int64_t>(), 8);  // of 32 that the edit leaves alone
  EXPECT_TRUE((image[0].slice(0, 0, 4).slice(1, 0, 4) == 1).all().item<bool>());  // the left half
}

TEST(EditSample, IsAFunctionOfSeedAndIndexAndItsLabelsAreThoseOfTheFile) {
  const world::EditSampleOptions options{.seed = 7};
  std::set<std::string> texts;
  for (int64_t index = 0; index < 40; ++index) {
    const auto one = world::draw_edit_sample(options, index),
               two = world::draw_edit_sample(options, index);
    EXPECT_TRUE(at::equal(one.edited, two.edited));
    EXPECT_EQ(one.instruction, two.instruction);
    const auto file = data::decode_image(data::encode_png(one.edited), "edited");
    EXPECT_EQ(world::score_edit(one.view, file).values, one.scores.values);
    texts.insert(one.instruction);
  }
  EXPECT_GT(texts.size(), 35u);
  EXPECT_FALSE(at::equal(world::draw_edit_sample({.seed = 8}, 0).edited,
                         world::draw_edit_sample(options, 0).edited));
  EXPECT_THROW(world::draw_edit_sample(options, -1), c10::Error);
}

// The scores are nearly independent and (5, 5, 5) is rare, so that requesting it is informative.
TEST(EditSample, ALineTellsHowItWasDrawn) {
  const std::string line =
      R"({"world": {"seed": 7, "index": 3, "split": "unseen", "flat": false}})";
  const auto drawn = world::sample_origin(line, "f:1");
  ASSERT_TRUE(drawn);
  EXPECT_EQ(drawn->options.seed, 7u);
  EXPECT_EQ(drawn->options.split, world::Split::kUnseen);
  EXPECT_EQ(drawn->index, 3);
  const world::EditSampleOptions options{
      .seed = 7, .split = world::Split::kUnseen, .flawless = true};
  EXPECT_TRUE(at::equal(world::view_of_line(line, "f:1").target,
                        world::draw_edit_sample(options, 3).view.target));
  for (const char* other :
       {"{}", R"({"world": {"seed": 7}})", R"({"world": "x"})",
        R"({"world": {"seed": 7, "index": -1, "split": "unseen", "flat": false}})",
        R"({"world": {"seed": 7, "index": 1.5, "split": "unseen", "flat": false}})"}) {
    EXPECT_FALSE(world::sample_origin(other, "f:1"));
    EXPECT_NE(refusal([&] { world::view_of_line(other, "f:1"); }).find("f:1: expected \"world\""),
              std::string::npos);
  }
}

TEST(EditSample, AxesVaryApart) {
  for (const bool flat : {false, true}) {
    const world::EditSampleOptions options{.seed = 9, .flat = flat};
    at::Tensor scores = at::empty({600, 3}, at::kDouble);
    for (int64_t index = 0; index < scores.size(0); ++index) {
      const auto values = world::draw_edit_sample(options, index).scores.values;
      scores[index] = at::tensor(at::ArrayRef<double>(values), at::kDouble);
    }
    const at::Tensor correlation = at::corrcoef(scores.t());
    EXPECT_LT(correlation.sub(at::eye(3)).abs().max().item<double>(), 0.2) << flat;
    const double perfect = (scores >= 4.9).all(1).to(at::kDouble).mean().item<double>();
    EXPECT_GT(perfect, 0.03);
    EXPECT_LT(perfect, 0.15);
    EXPECT_GT(scores.std(0).min().item<double>(), 1);
  }
}

}  // namespace
