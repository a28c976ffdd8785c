#include "data/base/strings.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace {

TEST(Strings, TrimsBothEnds) {
  EXPECT_EQ(data::trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(data::trimmed(" \n"), "");
  EXPECT_EQ(data::trimmed(""), "");
}

TEST(Strings, JoinsWordsAndNumbers) {
  EXPECT_EQ(data::joined(std::vector<std::string>{"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(data::joined(std::set<std::string>{"b", "a"}, "; "), "a; b");
  EXPECT_EQ(data::joined(std::vector<int64_t>{320, 640}, "-"), "320-640");
  EXPECT_EQ(data::joined(std::vector<std::string>{}, ", "), "");
}

}  // namespace
