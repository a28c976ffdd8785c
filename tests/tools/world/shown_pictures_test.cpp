#include "tools/world/shown_pictures.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

world::RandomStream stream(uint64_t seed = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  return world::RandomStream(generator);
}

std::vector<tools::ShownPicture> with_prompts(const std::vector<std::string>& prompts) {
  std::vector<tools::ShownPicture> pictures;
  for (const auto& prompt : prompts) pictures.push_back({.file = {}, .prompt = prompt});
  return pictures;
}

TEST(ComparablePictures, AreThoseOfAPromptOrAllWhereMostAreAlone) {
  EXPECT_EQ(tools::comparable(with_prompts({"a", "b", "a", "c", "b"})),
            (tools::PictureGroups{{0, 2}, {1, 4}}));
  EXPECT_EQ(tools::comparable(with_prompts({"a", "b", "c", "c", "d"})),
            (tools::PictureGroups{{0, 1, 2, 3, 4}}));
  EXPECT_EQ(tools::pairs_inside({{0, 2}, {1, 3, 4}}),
            (std::vector<tools::PicturePair>{{0, 2}, {1, 3}, {1, 4}, {3, 4}}));
}

TEST(DrawnPairs, AreDifferentAndShareNoPictureWithThoseHeldOut) {
  tools::PictureGroups groups;
  for (int32_t group = 0; group < 8; ++group)
    groups.push_back({3 * group, 3 * group + 1, 3 * group + 2});
  auto chance = stream();
  const auto drawn =
      tools::draw_pairs(groups, {.asked = 12, .held_out = 6, .held_out_share = 0.25}, chance);
  std::set<int32_t> apart;
  for (const auto& [a, b] : drawn.held_out) apart.insert({a, b});
  std::set<tools::PicturePair> different;
  bool swapped = false;
  for (const auto& [a, b] : drawn.asked) {
    EXPECT_EQ(a / 3, b / 3);  // of one group
    EXPECT_EQ(apart.count(a) + apart.count(b), 0u);
    different.insert({std::min(a, b), std::max(a, b)});
    swapped = swapped || a > b;
  }
  EXPECT_EQ(different.size(), 12u);
  EXPECT_EQ(drawn.held_out.size(), 6u);
  EXPECT_TRUE(swapped);
  auto same = stream();
  EXPECT_EQ(
      tools::draw_pairs(groups, {.asked = 12, .held_out = 6, .held_out_share = 0.25}, same).asked,
      drawn.asked);
}

TEST(DrawnPairs, OfOneGroupDivideItsPictures) {
  tools::PictureGroups one(1);
  for (int32_t i = 0; i < 20; ++i) one[0].push_back(i);
  auto chance = stream();
  const auto drawn =
      tools::draw_pairs(one, {.asked = 30, .held_out = 10, .held_out_share = 0.25}, chance);
  std::set<int32_t> apart;
  for (const auto& [a, b] : drawn.held_out) apart.insert({a, b});
  EXPECT_EQ(apart.size(), 5u);  // 10 pairs: all of five pictures
  for (const auto& [a, b] : drawn.asked) EXPECT_EQ(apart.count(a) + apart.count(b), 0u);
  const auto many = refusal([&] { tools::draw_pairs({{0, 1, 2}}, {.asked = 4}, chance); });
  EXPECT_NE(many.find("--pairs: expected at most the 3 pairs"), std::string::npos) << many;
}

TEST(Repeats, ComeAtLeastEightQuestionsLaterWithSidesExchanged) {
  std::vector<tools::PicturePair> pairs;
  for (int32_t i = 0; i < 40; ++i) pairs.emplace_back(2 * i, 2 * i + 1);
  auto chance = stream();
  const auto all = tools::with_repeats(pairs, 1, chance);
  EXPECT_EQ(all.size(), 80u);
  for (size_t i = 0; i < 20; ++i) {  // the last ones wait for the end
    const auto first = std::find(all.begin(), all.end(), pairs[i]);
    const auto again =
        std::find(all.begin(), all.end(), tools::PicturePair(pairs[i].second, pairs[i].first));
    ASSERT_NE(again, all.end());
    EXPECT_GT(again - first, 8) << i;
  }
  EXPECT_EQ(tools::with_repeats(pairs, 0, chance), pairs);
}

TEST(ShownPictures, AreReadWithPromptAndTasteAndFaultsAreNamed) {
  const auto folder = tests::fresh_folder();
  data::write_png(folder / "a.png", at::full({3, 8, 8}, 0.5));
  data::write_file(folder / "a.txt", "grey\n");
  data::write_png(folder / "b.png", at::full({3, 8, 8}, 0.9));
  data::write_file(folder / "c.png", "no picture");
  tools::SimulatedPerson person{.light = 0.5};
  person.weights[7] = 1;
  const auto shown = tools::look_at_pictures({folder.string()}, person);
  ASSERT_EQ(shown.pictures.size(), 2u);
  EXPECT_EQ(shown.pictures[0].prompt, "grey");
  EXPECT_GT(shown.pictures[0].taste, shown.pictures[1].taste);
  ASSERT_EQ(shown.faults.size(), 1u);
  EXPECT_NE(shown.faults[0].find("c.png"), std::string::npos);
  std::filesystem::remove(folder / "a.png");
  std::filesystem::remove(folder / "b.png");
  EXPECT_NE(refusal([&] {
              tools::look_at_pictures({folder.string()}, person);
            }).find("no picture can be read"),
            std::string::npos);
}

// A picture of any size is seen at 64 pixels.
TEST(ShownPictures, LookAlikeAtTwiceTheSize) {
  auto generator = at::detail::createCPUGenerator(2);
  const at::Tensor small = at::rand({3, 32, 64}, generator);
  const at::Tensor large = small.repeat_interleave(2, 1).repeat_interleave(2, 2);
  EXPECT_LT((tools::facts_at_a_glance(small) - tools::facts_at_a_glance(large))
                .abs()
                .max()
                .item<double>(),
            1e-5);
  EXPECT_EQ(tools::facts_at_a_glance(at::rand({3, 1, 500}, generator)).sizes(),
            at::IntArrayRef({1, 8}));
}

}  // namespace
