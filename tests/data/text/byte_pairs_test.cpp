#include "data/text/byte_pairs.hpp"

#include <gtest/gtest.h>

namespace {

using Symbols = std::vector<std::string>;

TEST(BytePairs, OfAHandCase) {
  // "abab c": b a is known, but a b comes first and leaves none; then (ab)(ab).
  EXPECT_EQ(data::merge_pairs({"a", "b", "a", "b", "c"}, {{"a b", 0}, {"b a", 1}, {"ab ab", 2}}),
            (Symbols{"abab", "c"}));
  EXPECT_EQ(data::merge_pairs({"a", "a", "a"}, {{"a a", 0}}), (Symbols{"aa", "a"}));  // leftmost
}

TEST(BytePairs, WithoutKnownPairsTheSymbolsStay) {
  EXPECT_EQ(data::merge_pairs({"a", "b"}, {{"b a", 0}}), (Symbols{"a", "b"}));
  EXPECT_EQ(data::merge_pairs({}, {{"a b", 0}}), Symbols{});
}

TEST(BytePairs, KeepTheText) {
  const Symbols merged =
      data::merge_pairs({"c", "a", "b", "c", "a"}, {{"a b", 1}, {"c a", 0}, {"b ca", 2}});
  std::string text;
  for (const auto& symbol : merged) text += symbol;
  EXPECT_EQ(text, "cabca");
  EXPECT_EQ(merged, (Symbols{"ca", "bca"}));
}

}  // namespace
