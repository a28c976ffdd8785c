#include "data/train/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/log.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

TEST(Metrics, ALineIsOneObject) {
  const data::Metrics metrics{.step = 12,
                              .epoch = 3,
                              .time = 1.25,
                              .evaluation = true,
                              .values = {{"seen/aesthetic", 5.5}, {"bad", std::nan("")}}};
  EXPECT_EQ(
      data::metrics_line(metrics),
      R"({"step":12,"epoch":3,"time":1.25,"evaluation":true,"seen/aesthetic":5.5,"bad":null})");
}

TEST(Metrics, AResumedRunDropsWhatItWillWriteAgain) {
  const fs::path file = tests::fresh_folder("laurel_metrics") / "metrics.jsonl";
  data::truncate_metrics(file, 1);  // nothing there: nothing happens
  for (int64_t step = 0; step < 4; ++step) data::append_metrics(file, {.step = step, .values = {}});
  data::append_line(file, R"({"step":"1"})");
  data::append_line(file, R"({"step":1e300})");
  data::append_bytes(file, "{\"step\":1,\"cut");
  data::truncate_metrics(file, 1);
  EXPECT_EQ(data::read_file(file),
            "{\"step\":0,\"epoch\":0,\"time\":0.0}\n{\"step\":1,\"epoch\":0,\"time\":0.0}\n");
}

TEST(Metrics, AreLinesOfTheLogToo) {
  const fs::path file = tests::fresh_folder("laurel_metrics_log") / "metrics.jsonl";
  const data::Metrics metrics{.step = 2, .epoch = 1, .values = {{"loss", 0.25}}};
  data::start_log({.level = data::LogLevel::kDebug});
  testing::internal::CaptureStderr();
  data::append_metrics(file, metrics);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "step 2, epoch 1: loss 0.25\n");
  data::start_log({});
  testing::internal::CaptureStderr();
  data::append_metrics(file, metrics);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Metrics, AFolderInTheWayIsBadInput) {
  const fs::path folder = tests::fresh_folder("laurel_metrics_folder");
  EXPECT_THROW(data::append_metrics(folder, {}), data::BadInput);
}

}  // namespace
