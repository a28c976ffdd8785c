#include "tools/cli/console/progress.hpp"

#include <gtest/gtest.h>

namespace {

using tools::ProgressState;

TEST(Progress, ClockGrowsHours) {
  EXPECT_EQ(tools::clock_text(62.4), "01:02");
  EXPECT_EQ(tools::clock_text(7384), "2:03:04");
  EXPECT_EQ(tools::clock_text(-1), "00:00");
}

TEST(Progress, BarShowsRateAndTimeLeft) {
  const ProgressState state{
      .title = "Steps", .unit = "it", .done = 25, .total = 100, .seconds = 10, .note = "loss=0.5"};
  EXPECT_EQ(tools::bar_text(state, 200),
            "Steps:  25%|███████▌                      | 25/100 [00:10<00:30, 2.50it/s, loss=0.5]");
}

TEST(Progress, SlowRatesTurnOver) {
  const ProgressState state{
      .title = "Steps", .unit = "it", .done = 2, .total = 4, .seconds = 10, .note = ""};
  EXPECT_EQ(tools::plain_text(state), "Steps: 2/4 (50%), 5.00s/it, 00:10 left");
}

TEST(Progress, NothingDoneYetAndNarrowTerminals) {
  const ProgressState state{
      .title = "Steps", .unit = "it", .done = 0, .total = 4, .seconds = 0, .note = ""};
  EXPECT_EQ(tools::bar_text(state, 40), "Steps:   0%|      | 0/4 [00:00<?, ?it/s]");
  EXPECT_EQ(tools::bar_text(state, 20), "Steps:   0% 0/4 [00:");
}

TEST(Progress, OnAPipePrintsPlainLines) {
  testing::internal::CaptureStderr();
  {
    tools::Progress progress("Work", 3);
    progress.advance();
    progress.print("a line");
    progress.advance(2, "done");
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(text.find("a line\nWork: 3/3 (100%)"), 0u) << text;
  EXPECT_NE(text.find(", done\n"), std::string::npos) << text;
}

}  // namespace
