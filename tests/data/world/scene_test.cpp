#include "data/world/scene.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

#include "data/base/error.hpp"
#include "data/world/caption.hpp"
#include "data/world/grammar.hpp"
#include "data/world/match.hpp"

namespace {

using world::Colour;
using world::Kind;
using world::Split;

at::Generator generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }

TEST(Scene, RenderIsAnImageWithTheShapeWhereItWasPut) {
  world::Scene scene;
  scene.background.rgb = {1, 1, 1};
  scene.objects.push_back(
      {Kind::kSquare, Colour::kBlue, world::Size::kLarge, 12.5, 32, 32, {0, 0, 1}, 0});
  const at::Tensor image = world::render(scene);
  ASSERT_EQ(image.sizes(), (at::IntArrayRef{3, 64, 64}));
  EXPECT_EQ(image.scalar_type(), at::kFloat);
  EXPECT_FLOAT_EQ(image[0][32][32].item<float>(), 0);
  EXPECT_FLOAT_EQ(image[2][32][32].item<float>(), 1);
  EXPECT_FLOAT_EQ(image[0][2][2].item<float>(), 1);
  // Half side 0.88 * 12.5 = 11: the red channel is 0 on 22 x 22 pixels.
  EXPECT_NEAR((1 - image[0]).sum().item<double>(), 22 * 22, 1e-3);
}

TEST(Scene, DrawnAreaIsTheStatedArea) {
  for (int64_t kind = 0; kind < world::kKinds; ++kind) {
    world::Scene scene;
    scene.objects.push_back(
        {static_cast<Kind>(kind), Colour::kRed, world::Size::kLarge, 12, 31.3, 33.6, {1, 1, 1}, 0});
    const double drawn = world::render(scene)[0].sum().item<double>();
    EXPECT_NEAR(drawn, world::area(static_cast<Kind>(kind), 12), 4) << "kind " << kind;
  }
}

TEST(Scene, BatchRepeatsForAGeneratorStateAndMovesItOn) {
  auto one = generator(5), two = generator(5);
  const auto first = world::random_batch(6, Split::kSeen, one);
  const auto again = world::random_batch(6, Split::kSeen, two);
  const auto next = world::random_batch(6, Split::kSeen, one);
  EXPECT_TRUE(at::equal(first.images, again.images));
  EXPECT_EQ(first.captions, again.captions);
  EXPECT_FALSE(at::equal(first.images, next.images));
  EXPECT_THROW(world::random_batch(0, Split::kSeen, one), c10::Error);
}

TEST(Scene, SplitsDifferByHeldOutCombinations) {
  auto random = generator(6);
  for (int draw = 0; draw < 500; ++draw) {
    const auto count_held_out = [&](Split split) {
      const auto scene = world::random_scene(random, split);
      return std::count_if(
          scene.objects.begin(), scene.objects.end(),
          [](const world::Object& object) { return world::held_out(object.colour, object.kind); });
    };
    EXPECT_EQ(count_held_out(Split::kSeen), 0);
    EXPECT_GE(count_held_out(Split::kUnseen), 1);
  }
}

TEST(Scene, TruthBearsOutEveryDrawnCaption) {
  auto random = generator(7);
  std::set<std::string> captions;
  for (int draw = 0; draw < 5000; ++draw) {
    const Split split = draw % 2 ? Split::kSeen : Split::kUnseen;
    const auto scene = world::random_scene(random, split);
    const std::string text = world::caption(scene, random);
    EXPECT_TRUE(world::match(world::parse_caption(text), world::truth(scene)).exact) << text;
    EXPECT_EQ(world::split_of(world::parse(text)), split) << text;
    EXPECT_LE(std::count(text.begin(), text.end(), ' ') + 1, 28) << text;
    captions.insert(text);
  }
  EXPECT_GT(captions.size(), 2000u);
}

TEST(Scene, HalfOfTheScenesHoldOneShape) {
  auto random = generator(8);
  std::array<int, 4> counts = {};
  for (int draw = 0; draw < 3000; ++draw)
    counts[world::random_scene(random, Split::kSeen).objects.size()] += 1;
  EXPECT_NEAR(counts[1] / 3000.0, 0.5, 0.04);
  EXPECT_NEAR(counts[2] / 3000.0, 0.34, 0.04);
  EXPECT_NEAR(counts[3] / 3000.0, 0.16, 0.04);
}

TEST(Caption, AllCaptionsAreDistinctAndReadBack) {
  std::set<std::string> distinct;
  for (const Split split : {Split::kSeen, Split::kUnseen}) {
    for (const std::string& text : world::all_captions(split)) {
      const auto sentence = world::parse(text);
      EXPECT_EQ(world::split_of(sentence), split);
      EXPECT_EQ(world::write(sentence, [](int64_t) { return 0; }), text);
      EXPECT_TRUE(distinct.insert(text).second) << text;
    }
  }
  EXPECT_GT(distinct.size(), 2000u);
  EXPECT_EQ(world::all_captions(Split::kSeen), world::all_captions(Split::kSeen));
}

TEST(Caption, ParaphrasesMakeTheSameClaims) {
  const auto plain =
      world::parse("a small cyan circle in the top left corner on a pale blue background");
  const auto other =
      world::parse("a picture of one little turquoise disc at the top left, light blue background");
  const auto zero = [](int64_t) { return 0; };
  EXPECT_EQ(world::write(plain, zero), world::write(other, zero));
  EXPECT_EQ(world::write(other, zero),
            "a small cyan circle in the top left corner on a pale blue background");
}

TEST(Caption, AllWordingsAreDistinctAndMakeTheSameClaims) {
  const auto sentence = world::parse("a small red circle left of a blue square");
  const auto texts = world::all_wordings(sentence);
  // openings 4, "small" 2, "circle" 2, the relation 2, "square" 2
  EXPECT_EQ(texts.size(), 4u * 2 * 2 * 2 * 2);
  EXPECT_EQ(texts.front(), "a small red circle left of a blue square");
  EXPECT_EQ(std::set<std::string>(texts.begin(), texts.end()).size(), texts.size());
  const auto zero = [](int64_t) { return 0; };
  for (const auto& text : texts)
    EXPECT_EQ(world::write(world::parse(text), zero), texts.front()) << text;
}

TEST(Caption, NegationsSayWhatIsAbsentAndNothingOfTheNumber) {
  const auto claims = world::parse_caption("a red circle and no square on a white background");
  ASSERT_EQ(claims.size(), 4u);
  EXPECT_EQ(claims[0].kind, world::ClaimKind::kAbsent);
  EXPECT_EQ(claims[0].value, static_cast<int64_t>(Kind::kSquare));
  EXPECT_EQ(world::write(world::parse("a red disc without a box"), [](int64_t) { return 0; }),
            "a red circle and no square");
  EXPECT_THROW(world::parse("a red circle and no square and a ring"), data::BadInput);
  EXPECT_THROW(world::parse("a red circle and no"), data::BadInput);
}

TEST(Caption, ClaimsAreListed) {
  const auto claims = world::parse_caption("an orange ring to the left of a big green box");
  ASSERT_EQ(claims.size(), 7u);
  EXPECT_EQ(claims[0].value, 2);
  EXPECT_EQ(claims[5].kind, world::ClaimKind::kSize);
  EXPECT_EQ(claims[6].kind, world::ClaimKind::kRelation);
  EXPECT_EQ(claims[6].value, static_cast<int64_t>(world::Relation::kLeftOf));
}

TEST(Caption, TextOutsideTheGrammarNamesTheWord) {
  const auto message = [](const std::string& text) -> std::string {
    try {
      world::parse_caption(text);
    } catch (const data::BadInput& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(message("a grean circle")
                .find("word 2: expected a colour, found 'grean'; did you mean green?"),
            std::string::npos);
  EXPECT_NE(message("a red").find("word 3: expected a shape, found the end"), std::string::npos);
  EXPECT_NE(message("").find("word 1"), std::string::npos);
  EXPECT_NE(message("a red circle jumps").find("word 4"), std::string::npos);
  EXPECT_NE(message("two red circle").find("plural"), std::string::npos);
  EXPECT_NE(message("three red circles and a blue ring").find("at most 3"), std::string::npos);
  EXPECT_NE(message("a red circle above two blue rings").find("one shape"), std::string::npos);
  EXPECT_NE(message("a red circle on a white background and a ring").find("the end"),
            std::string::npos);
}

TEST(Match, CountsTheClaimsThatHoldUnderTheBestPairing) {
  world::SceneReading reading;
  reading.objects.push_back({Kind::kCircle, Colour::kRed, world::Size::kSmall, 8, 10, 30, {}});
  reading.objects.push_back({Kind::kSquare, Colour::kBlue, world::Size::kLarge, 12, 50, 30, {}});
  reading.background = world::Tone::kWhite;
  const auto matched = [&](const std::string& text) {
    return world::match(world::parse_caption(text), reading);
  };
  EXPECT_TRUE(matched("a blue square right of a red circle").exact);
  EXPECT_TRUE(
      matched("a red circle on the left and a large blue square on a white background").exact);
  EXPECT_DOUBLE_EQ(matched("a blue square left of a red circle").fraction, 5.0 / 6);
  EXPECT_DOUBLE_EQ(matched("a blue square").fraction, 2.0 / 3);
  EXPECT_DOUBLE_EQ(matched("a red circle, a red circle and a blue square").fraction, 4.0 / 7);
  EXPECT_DOUBLE_EQ(matched("a green triangle on a black background").fraction, 0);
  EXPECT_TRUE(matched("a red circle and no ring").exact);
  EXPECT_DOUBLE_EQ(matched("a red circle and no square").fraction, 2.0 / 3);
  reading.objects.push_back({});  // of a shape that was not recognised: it may be a ring
  EXPECT_FALSE(matched("a red circle and no ring").exact);
}

}  // namespace
