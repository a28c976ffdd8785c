#include "data/images/pixel_budget.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace {

TEST(PixelBudget, NeverHandsOutMoreThanItHolds) {
  data::PixelBudget budget(10);
  std::atomic<int64_t> taken{0}, most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 50; ++turn) {
        const data::PixelLease lease(budget, 4);
        const int64_t now = taken += 4;
        for (int64_t seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        taken -= 4;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_LE(most, 8);  // two of four pixels
  EXPECT_EQ(taken, 0);
}

TEST(PixelBudget, LetsOneThatIsTooLargeThroughAlone) {
  data::PixelBudget budget(10);
  budget.take(1000);
  std::atomic<bool> entered{false};
  std::thread other([&] {
    const data::PixelLease lease(budget, 1);
    entered = true;
  });
  EXPECT_FALSE(entered);
  budget.give_back(1000);
  other.join();
  EXPECT_TRUE(entered);
}

}  // namespace
