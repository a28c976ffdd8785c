#include "tools/studio/voting/pool.hpp"

#include <gtest/gtest.h>

#include <set>

#include "data/storage/sha256.hpp"
#include "tests/support/refusal.hpp"

namespace {

using studio::Pair;

// Pictures with these prompts; their contents differ.
studio::Pool pool_of(const std::vector<std::string>& prompts) {
  std::vector<studio::StoredImage> images;
  std::vector<int64_t> ids;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ids.push_back(static_cast<int64_t>(i) + 100);
    images.push_back({.id = ids.back(),
                      .path = "none.png",
                      .prompt = prompts[i],
                      .run = "run",
                      .set = "base",
                      .sha256 = data::sha256(std::to_string(i))});
  }
  return studio::make_pool(images, ids);
}

TEST(Pool, ComparesPicturesOfOnePrompt) {
  const auto pool = pool_of({"a cat", "a dog", "a cat", "a bird", "a dog", "a cat", "an owl"});
  ASSERT_EQ(pool.groups.size(), 2u);
  EXPECT_EQ(pool.groups[0], (std::vector<size_t>{0, 2, 5}));
  EXPECT_EQ(pool.groups[1], (std::vector<size_t>{1, 4}));
  EXPECT_EQ(pool.number_of.at(104), 4u);
}

TEST(Pool, ComparesPicturesThatAreAloneWithTheirPromptsWithOneAnother) {
  const auto pool = pool_of({"a cat", "a dog", "a bird"});
  ASSERT_EQ(pool.groups.size(), 1u);
  EXPECT_EQ(pool.groups[0].size(), 3u);
  EXPECT_NE(refusal([] { pool_of({"a cat"}); }).find("at least two pictures"), std::string::npos);
}

TEST(Pool, HoldsOutAboutASeventhOfAllPairsWhateverTheirOrder) {
  const auto pool = pool_of(std::vector<std::string>(80, "a cat"));
  int held_out = 0, all = 0;
  for (size_t a = 0; a < 80; ++a) {
    for (size_t b = a + 1; b < 80; ++b, ++all) {
      held_out += studio::is_held_out(pool.images[a], pool.images[b]);
      EXPECT_EQ(studio::is_held_out(pool.images[a], pool.images[b]),
                studio::is_held_out(pool.images[b], pool.images[a]));
    }
  }
  EXPECT_NEAR(static_cast<double>(held_out) / all, 0.15, 0.03);
}

TEST(Pool, EveryPairComesOnce) {
  const auto pool = pool_of({"a cat", "a cat", "a cat", "a cat", "a dog", "a dog", "a dog"});
  std::mt19937_64 chance(3);
  std::unordered_set<uint64_t> asked;
  int count = 0, first_is_smaller = 0;
  for (const bool held_out : {false, true}) {
    while (const auto pair = studio::draw_pair(pool, asked, held_out, {}, chance)) {
      EXPECT_TRUE(asked.insert(studio::pair_key(pair->first, pair->second)).second);
      EXPECT_EQ(pool.images[pair->first].prompt, pool.images[pair->second].prompt);
      EXPECT_EQ(studio::is_held_out(pool.images[pair->first], pool.images[pair->second]), held_out);
      first_is_smaller += pair->first < pair->second;
      ASSERT_LE(++count, 9);
    }
  }
  EXPECT_EQ(count, 9);  // 6 of four cats, 3 of three dogs
  EXPECT_GT(first_is_smaller, 0);
  EXPECT_LT(first_is_smaller, 9);
}

TEST(Pool, TakesThePairThatIsWorthMost) {
  const auto pool = pool_of(std::vector<std::string>(12, "a cat"));
  const auto worth = [](const std::vector<Pair>& pairs) {
    std::vector<double> values;
    for (const auto& [a, b] : pairs) values.push_back(-static_cast<double>(a + b));
    return values;
  };
  std::mt19937_64 chance(3);
  size_t least = 100;
  for (size_t a = 0; a < 12; ++a) {
    for (size_t b = a + 1; b < 12; ++b) {
      if (!studio::is_held_out(pool.images[a], pool.images[b])) least = std::min(least, a + b);
    }
  }
  const auto pair = studio::draw_pair(pool, {}, false, worth, chance);
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->first + pair->second, least);
}

TEST(Pool, FilesOfEqualContentAreNotCompared) {
  auto images = pool_of({"a cat", "a cat"}).images;
  images[1].sha256 = images[0].sha256;
  const auto pool = studio::make_pool(images, {100, 101});
  std::mt19937_64 chance(3);
  for (const bool held_out : {false, true})
    EXPECT_FALSE(studio::draw_pair(pool, {}, held_out, {}, chance));
}

}  // namespace
