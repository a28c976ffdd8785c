#include "data/base/format.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Format, WritesWhatPrintfWrites) {
  EXPECT_EQ(data::formatted("step %.0f: loss %.3f", 12.0, 0.25), "step 12: loss 0.250");
  EXPECT_EQ(data::formatted("%s of %d %%", "half", 7), "half of 7 %");
}

TEST(Format, KeepsTextsOfAnyLength) {
  EXPECT_EQ(data::formatted("%s", ""), "");
  const std::string text(5000, 'x');
  EXPECT_EQ(data::formatted("%s.", text.c_str()), text + ".");
}

}  // namespace
