#include "tools/bench_rewards/scores.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

#include "data/base/files.hpp"
#include "data/images/image_io.hpp"
#include "data/world/match.hpp"
#include "data/world/oracle.hpp"
#include "tests/support/bad_input.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tools/bench_rewards/figures.hpp"

namespace {

namespace fs = std::filesystem;

// Red of the picture, times the prompt's length; counts the pictures that it was asked about.
rewards::WeightedReward redness(int64_t& asked) {
  return {.reward = {.info = {.name = "redness"},
                     .score =
                         [&asked](const rewards::RewardBatch& batch) {
                           asked += batch.images.size(0);
                           at::Tensor scores = batch.images.select(1, 0).mean({1, 2});
                           for (int64_t i = 0; i < scores.size(0); ++i)
                             scores[i] *=
                                 static_cast<double>(batch.prompts[static_cast<size_t>(i)].size());
                           return scores;
                         }},
          .weight = 1};
}

// The share of the caption's colours that the picture shows.
rewards::WeightedReward colours_alone() {
  return {.reward = {.info = {.name = "colours"},
                     .score =
                         [](const rewards::RewardBatch& batch) {
                           std::vector<double> shares;
                           for (int64_t i = 0; i < batch.images.size(0); ++i) {
                             auto claims =
                                 world::parse_caption(batch.prompts[static_cast<size_t>(i)]);
                             std::erase_if(claims, [](const world::Claim& claim) {
                               return claim.kind != world::ClaimKind::kColour;
                             });
                             shares.push_back(
                                 world::match(claims, world::read_scene(batch.images[i])).fraction);
                           }
                           return at::tensor(shares);
                         }},
          .weight = 1};
}

const rewards::OneToMany& slice(const tools::RewardFigures& figures, const std::string& name) {
  for (const auto& one : figures.slices) {
    if (one.name == name) return one.figures;
  }
  throw std::runtime_error("no slice " + name);
}

TEST(BenchScores, AreByPromptAndByPictureAndAreNotAskedTwice) {
  const fs::path folder = tests::fresh_folder();
  data::write_png(folder / "a.png", at::full({3, 8, 8}, 1.0));
  data::write_png(folder / "b.png", at::full({3, 8, 8}, 0.0));
  const std::vector<tools::BenchItem> items{
      {.prompt = "x",
       .right = folder / "a.png",
       .wrong = {folder / "b.png"},
       .variants = {{"long", "xyz"}}},
      {.prompt = "y", .right = folder / "b.png", .wrong = {folder / "none.png"}}};
  int64_t asked = 0, complaints = 0;
  const auto scored = [&] {
    tools::ScoreLog log(folder / "scores.part", "redness");
    return tools::bench_scores(
        items, redness(asked),
        {.options = {}, .log = &log, .complain = [&](const std::string&) { ++complaints; }});
  };
  const auto scores = scored();
  ASSERT_EQ(scores.of_item[0].size(), 2u);
  EXPECT_EQ(scores.of_item[0][0], (std::vector<double>{1, 0}));
  EXPECT_EQ(scores.of_item[0][1], (std::vector<double>{3, 0}));
  EXPECT_TRUE(scores.of_item[1].empty());
  EXPECT_EQ(scores.left_out, 1);
  EXPECT_EQ(complaints, 1);
  EXPECT_EQ(asked, 5);
  const auto again = scored();
  EXPECT_EQ(asked, 6);  // the item that failed alone
  EXPECT_EQ(again.of_item, scores.of_item);
}

TEST(BenchScores, OfARewardOfColoursAreRightForColoursAndChanceForRelations) {
  const fs::path folder = tests::fresh_folder();
  ASSERT_EQ(bad_input::run_laurel(
                "bench-rewards --world @/world --count 18 --seed 3 --probe_images 0 -r brightness",
                folder.string())
                .exit_code,
            0);
  auto items = tools::read_bench_items(folder / "world/items.jsonl", true);
  for (auto& item : items) item.variants.clear();
  const auto scores = tools::bench_scores(items, colours_alone(), {});
  const auto figures = tools::figures_of("colours", items, scores);
  EXPECT_EQ(slice(figures, "wrong: colour").one_to_one.value, 1);
  EXPECT_EQ(slice(figures, "wrong: colour").one_to_many.value, 1);
  EXPECT_EQ(slice(figures, "wrong: relation").one_to_one.value, 0.5);  // equal scores: a half
  EXPECT_EQ(slice(figures, "wrong: relation").one_to_many.value, 0);
}

}  // namespace
