#include "data/train/lr_schedule.hpp"

#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"

namespace {

double factor(const char* name, int64_t step, int64_t warmup, int64_t total) {
  return train::lr_factor(train::lr_schedule(name), step, warmup, total);
}

TEST(LrFactor, WarmsUpAndFalls) {
  EXPECT_DOUBLE_EQ(factor("constant", 0, 4, 10), 0.25);
  EXPECT_DOUBLE_EQ(factor("constant", 9, 4, 10), 1.0);
  EXPECT_DOUBLE_EQ(factor("linear", 7, 4, 10), 0.5);
  EXPECT_NEAR(factor("cosine", 7, 4, 10), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(factor("linear", 12, 4, 10), 0.0);
}

TEST(LrFactor, WsdStaysAndFallsOverTheLastTenth) {
  EXPECT_DOUBLE_EQ(factor("wsd", 1, 4, 104), 0.5);
  EXPECT_DOUBLE_EQ(factor("wsd", 4, 4, 104), 1);
  EXPECT_DOUBLE_EQ(factor("wsd", 94, 4, 104), 1);
  EXPECT_NEAR(factor("wsd", 99, 4, 104), 0.5, 1e-12);
  EXPECT_NEAR(factor("wsd", 104, 4, 104), 0, 1e-12);
}

// At no update is the rate above that of the constant schedule, and none rises after the warm-up.
TEST(LrFactor, NeverRisesAfterTheWarmUp) {
  for (const auto& schedule : train::lr_schedules()) {
    double before = 1;
    for (int64_t step = 3; step < 60; ++step) {
      const double now = train::lr_factor(schedule, step, 3, 50);
      EXPECT_LE(now, before) << schedule.name << " " << step;
      EXPECT_GE(now, 0) << schedule.name << " " << step;
      before = now;
    }
  }
}

TEST(LrFactor, RefusesAnotherName) {
  EXPECT_EQ(refusal([] { train::lr_schedule("cosin"); }),
            "lr_scheduler: expected one of constant, cosine, linear, wsd, found 'cosin'");
}

TEST(CosineDecay, ByHand) {
  EXPECT_DOUBLE_EQ(train::cosine_decay(0), 1);
  EXPECT_NEAR(train::cosine_decay(1.0 / 3), 0.75, 1e-15);
  EXPECT_NEAR(train::cosine_decay(1), 0, 1e-15);
}

}  // namespace
