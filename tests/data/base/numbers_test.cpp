#include "data/base/numbers.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "tests/support/refusal.hpp"

namespace {

TEST(NumberOf, IsAllOfTheText) {
  EXPECT_EQ(data::number_of<int64_t>("-12"), -12);
  EXPECT_EQ(data::number_of<double>("1e-3"), 0.001);
  for (const char* text : {"", " 1", "+1", "1x", "x", "99999999999999999999", "1.5"})
    EXPECT_EQ(data::number_of<int64_t>(text), std::nullopt) << text;
  EXPECT_EQ(data::number_of<double>("1e999"), std::nullopt);
}

TEST(LeadingNumber, MayBeFollowedByMore) {
  EXPECT_EQ(data::leading_number<int64_t>("12.weight"), 12);
  EXPECT_EQ(data::leading_number<int64_t>("weight"), std::nullopt);
  EXPECT_EQ(data::leading_number<int64_t>("99999999999999999999."), std::nullopt);
}

TEST(NotedNumber, IsNamedWhereItIsMissingOrNone) {
  const std::map<std::string, std::string> notes = {{"step", "7"}, {"minutes", "x"}};
  EXPECT_EQ(data::noted_number<int64_t>(notes, "step", "a.bin"), 7);
  const std::string advice = "; the file is damaged or from another version: use an older one";
  EXPECT_EQ(refusal([&] { data::noted_number<double>(notes, "minutes", "a.bin"); }),
            "a.bin: minutes: expected a number, found 'x'" + advice);
  EXPECT_EQ(refusal([&] { data::noted_number<double>(notes, "seed", "a.bin"); }),
            "a.bin: seed: expected a number, found none" + advice);
}

}  // namespace
