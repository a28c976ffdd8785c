#include "data/base/strings.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace {

TEST(Strings, TrimsBothEnds) {
  EXPECT_EQ(data::trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(data::trimmed(" \n"), "");
  EXPECT_EQ(data::trimmed(""), "");
}

TEST(Strings, SplitsAtASeparatorAndTrimsTheParts) {
  EXPECT_EQ(data::split(" a, b c ,,d,", ','), (std::vector<std::string>{"a", "b c", "", "d", ""}));
  EXPECT_EQ(data::split(",", ','), (std::vector<std::string>{"", ""}));
  EXPECT_EQ(data::split("a,b", ';'), std::vector<std::string>{"a,b"});
  EXPECT_TRUE(data::split("", ',').empty());
}

TEST(Strings, JoinsWordsAndNumbers) {
  EXPECT_EQ(data::joined(std::vector<std::string>{"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(data::joined(std::set<std::string>{"b", "a"}, "; "), "a; b");
  EXPECT_EQ(data::joined(std::vector<int64_t>{320, 640}, "-"), "320-640");
  EXPECT_EQ(data::joined(std::vector<std::string>{}, ", "), "");
}

TEST(Strings, ReadsTheKeysOfAConfiguration) {
  const std::map<std::string, std::string> expected = {{"a", "1"}, {"b", ""}, {"c", "x = y"}};
  EXPECT_EQ(data::values_by_key("a = 0\n# a comment\n\na = 1\nb = \nc = x = y"), expected);
  EXPECT_TRUE(data::values_by_key("").empty());
  EXPECT_TRUE(data::values_by_key("a=1\n[table]\n").empty());
}

}  // namespace
