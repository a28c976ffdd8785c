#include "finetune/distributed/heartbeat.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <thread>

namespace {

using finetune::HeartbeatMonitor;
using finetune::RankFailure;

// A store in this process, which can go silent.
struct FakeStore {
  std::mutex mutex;
  std::map<std::string, std::string> values;
  bool broken = false;

  finetune::SharedStore view() {
    const auto check = [this] {
      if (broken) throw std::runtime_error("connection closed");
    };
    return {.set =
                [this, check](const std::string& key, const std::string& value) {
                  const std::lock_guard lock(mutex);
                  check();
                  values[key] = value;
                },
            .get =
                [this, check](const std::vector<std::string>& keys) {
                  const std::lock_guard lock(mutex);
                  check();
                  std::vector<std::string> found;
                  for (const auto& key : keys) found.push_back(values.at(key));
                  return found;
                },
            .has =
                [this, check](const std::string& key) {
                  const std::lock_guard lock(mutex);
                  check();
                  return values.count(key) > 0;
                }};
  }
};

std::unique_ptr<FakeStore> store_of(int count) {
  auto store = std::make_unique<FakeStore>();
  for (int rank = 0; rank < count; ++rank) store->values["sign/" + std::to_string(rank)] = "0 0 0";
  return store;
}

finetune::HeartbeatOptions signs(int64_t rank, double silence) {
  return {rank, 2, silence, {"a, 1", "b, 2"}};
}

std::optional<RankFailure> loss_within(const HeartbeatMonitor& watch, double seconds) {
  for (int i = 0; i < 20 * seconds && !watch.loss(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  return watch.loss();
}

TEST(HeartbeatMonitor, NamesARankWithoutASign) {
  const auto store = store_of(2);
  const HeartbeatMonitor watch(store->view(), signs(0, 2));
  const auto loss = loss_within(watch, 8);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->rank, 1);
  EXPECT_TRUE(loss->what.starts_with("rank 1 of 2 (b, 2) was lost: no sign of life for "))
      << loss->what;
  EXPECT_TRUE(store->view().has("verdict"));
}

TEST(HeartbeatMonitor, TwoThatLiveFindNoLoss) {
  const auto store = store_of(2);
  const HeartbeatMonitor first(store->view(), signs(0, 2)), second(store->view(), signs(1, 2));
  EXPECT_FALSE(loss_within(first, 4));
  EXPECT_FALSE(second.loss());
}

TEST(HeartbeatMonitor, AFaultReachesTheOtherInItsWords) {
  const auto store = store_of(2);
  HeartbeatMonitor first(store->view(), signs(0, 30)), second(store->view(), signs(1, 30));
  second.fail("model: not here", 2);
  const auto loss = loss_within(first, 5);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->what, "rank 1 of 2 (b, 2): model: not here");
  EXPECT_EQ(loss->exit_code, 2);
  EXPECT_TRUE(loss->told);
}

TEST(HeartbeatMonitor, AStoreThatDoesNotAnswerIsRankZeroLost) {
  const auto store = store_of(2);
  const HeartbeatMonitor watch(store->view(), signs(1, 30));
  {
    const std::lock_guard lock(store->mutex);
    store->broken = true;
  }
  const auto loss = loss_within(watch, 5);
  ASSERT_TRUE(loss);
  EXPECT_EQ(loss->rank, 0);
  EXPECT_NE(loss->what.find("rank 0 of 2 (a, 1) was lost"), std::string::npos) << loss->what;
}

TEST(HeartbeatMonitor, WorkThatStandsStillIsALossAndWaitingIsNot) {
  for (const bool waits : {false, true}) {
    const auto store = store_of(2);
    const HeartbeatMonitor first(store->view(), signs(0, 3));
    HeartbeatMonitor second(store->view(), signs(1, 3));
    second.heartbeat();
    second.begin_work();
    if (waits) second.begin_wait();
    const auto loss = loss_within(first, 7);
    EXPECT_EQ(loss.has_value(), !waits);
    const std::string what = loss ? loss->what : "";
    EXPECT_EQ(what.starts_with("rank 1 of 2 (b, 2) was lost: it lives, but has done nothing"),
              !waits);
  }
}

}  // namespace
