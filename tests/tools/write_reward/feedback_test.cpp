#include "tools/write_reward/feedback.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/support/refusal.hpp"

namespace {

TEST(WriteRewardFeedback, ReadsPairs) {
  const auto pair = tools::preference_in(" 3 is better than 7 ", 8);
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->better, 3);
  EXPECT_EQ(pair->worse, 7);
  EXPECT_TRUE(tools::preference_in("8 > 1", 8));
  EXPECT_FALSE(tools::preference_in("3 is better than 7 and calmer", 8));
  EXPECT_FALSE(tools::preference_in("more blue", 8));
  EXPECT_FALSE(tools::preference_in("", 8));
}

TEST(WriteRewardFeedback, RefusesNumbersOfNoPicture) {
  for (const char* text : {"3 is better than 9", "0 > 1", "-1 > 1", "2 > 2"})
    EXPECT_NE(refusal([&] { tools::preference_in(text, 8); }).find("1 to 8"), std::string::npos)
        << text;
}

TEST(WriteRewardFeedback, CountsPairs) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor values = at::tensor({1.0, 2.0, 2.0, nan}, at::kDouble);
  EXPECT_EQ(tools::accuracy_on({{2, 1}, {1, 2}}, values), 0.5);
  EXPECT_EQ(tools::accuracy_on({{2, 1}, {2, 3}}, values), 0.5);  // a tie is wrong
  EXPECT_EQ(tools::accuracy_on({{2, 1}, {4, 1}}, values), 1);    // one has no value
  EXPECT_TRUE(std::isnan(tools::accuracy_on({}, values)));
  const auto wrong = tools::wrong_pairs({{2, 1}, {1, 2}, {2, 3}, {4, 1}}, values);
  ASSERT_EQ(wrong.size(), 3u);
  EXPECT_EQ(wrong[0].better, 1);
}

}  // namespace
