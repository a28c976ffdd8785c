#include "data/train/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "data/base/log.hpp"
#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

std::string hex(std::string_view bytes) {
  std::string text;
  char two[3];
  for (const char byte : bytes) {
    std::snprintf(two, sizeof two, "%02x", static_cast<unsigned char>(byte));
    text += two;
  }
  return text;
}

TEST(Crc32c, MatchesThePublishedCheckValue) {
  EXPECT_EQ(data::crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(data::crc32c(""), 0u);
}

TEST(Events, AreTheBytesThatTensorBoardWrites) {
  // Made by tests/checks/check_events.py with Python's tensorboard: Event(wall_time=1.5, step=300,
  // summary={loss: 0.25}).
  const data::Metrics metrics{.step = 300, .time = 1.5, .values = {{"loss", 0.25}}};
  EXPECT_EQ(
      hex(data::event_record(data::scalar_event(metrics))),
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

      "1b000000000000001a0d9e1309000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e9908deed");
}

TEST(Events, AFileBeginsWithItsVersion) {
  const fs::path folder = tests::fresh_folder("laurel_events");
  const fs::path file = data::start_events(folder, 1700000000.25);
  EXPECT_EQ(file.filename(), "events.out.tfevents.1700000000.250.laurel");
  const size_t before = fs::file_size(file);
  EXPECT_NE(data::read_file(file).find("brain.Event:2"), std::string::npos);
  data::append_events(file, {.step = 1, .values = {{"a", 1}, {"b", 2}}});
  EXPECT_GT(fs::file_size(file), before);
}

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

TEST(Metrics, AFolderInTheWayIsBadInput) {
  const fs::path folder = tests::fresh_folder("laurel_metrics_folder");
  EXPECT_THROW(data::append_metrics(folder, {}), data::BadInput);
}

}  // namespace
