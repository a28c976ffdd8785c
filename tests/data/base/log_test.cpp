#include "data/base/log.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

using data::LogLevel;

// What stderr gets while `work` says what it says; afterwards the log is the usual one again.
std::string said(const data::LogSettings& settings, const std::function<void()>& work) {
  data::start_log(settings);
  testing::internal::CaptureStderr();
  work();
  const std::string text = testing::internal::GetCapturedStderr();
  data::start_log({});
  return text;
}

void say_all() {
  data::log_error("no file");
  data::log_warning("no GPU");
  data::log_info("epoch 1");
  data::log_debug("seed = 3");
}

TEST(Log, ALineSaysItsLevelAsAUserKnowsIt) {
  EXPECT_EQ(data::log_line(LogLevel::kError, "no file", {}, 0, false), "laurel: no file");
  EXPECT_EQ(data::log_line(LogLevel::kWarning, "no GPU", {}, 0, false), "laurel: warning: no GPU");
  EXPECT_EQ(data::log_line(LogLevel::kInfo, "epoch 1", {{"step", 3}}, 0, false), "epoch 1");
  EXPECT_EQ(data::log_line(LogLevel::kInfo, "two\nlines\n", {}, 0, false), "two\nlines");
}

TEST(Log, AnObjectHasTimeLevelMessageAndFigures) {
  // date -u -d @1796011505 gives 2026-11-30T04:05:05
  EXPECT_EQ(data::log_line(LogLevel::kWarning, "a \"b\"", {}, 1796011505.25, true),
            R"({"time":"2026-11-30T04:05:05.250Z","level":"warning","message":"a \"b\""})");
  EXPECT_EQ(
      data::log_line(LogLevel::kInfo, "m", {{"step", 3}, {"loss", 0.5}, {"time", 7.0}}, 0, true),
      R"({"time":"1970-01-01T00:00:00.000Z","level":"info","message":"m","step":3,"loss":0.5,)"
      R"("logged":7.0})");
}

TEST(Log, ALevelHoldsTheLevelsBeforeIt) {
  const std::string lines[] = {"laurel: no file\n", "laurel: warning: no GPU\n", "epoch 1\n",
                               "seed = 3\n"};
  std::string expected;
  for (size_t i = 0; i < 4; ++i) {
    expected += lines[i];
    EXPECT_EQ(said({.level = static_cast<LogLevel>(i)}, say_all), expected);
  }
  EXPECT_EQ(data::log_level_names(),
            (std::vector<std::string>{"error", "warning", "info", "debug"}));
}

TEST(Log, AFileGetsTheSameLinesAtOnceBehindWhatItHas) {
  const auto file = tests::fresh_folder("log_file") / "logs" / "run.log";
  data::write_file(file, "before\n");
  const std::string text = said({.file = file}, [&] {
    say_all();
    EXPECT_EQ(data::read_file(file), "before\nlaurel: no file\nlaurel: warning: no GPU\nepoch 1\n");
    data::log_figures_in_file("bar", {});
    data::log_info("bell \a");
  });
  EXPECT_EQ(text, "laurel: no file\nlaurel: warning: no GPU\nepoch 1\nbell \a\n");
  EXPECT_EQ(data::read_file(file),
            "before\n" + text.substr(0, text.size() - 7) + "bar\nbell \\u0007\n")
      << "the file is plain text";
}

TEST(Log, FiguresAreInfoForProgramsAndDetailForPeople) {
  const auto work = [] { data::log_figures(LogLevel::kDebug, "step 3: loss 0.5", {{"step", 3}}); };
  EXPECT_EQ(said({}, work), "");
  EXPECT_EQ(said({.level = LogLevel::kDebug}, work), "step 3: loss 0.5\n");
  const auto line = data::parse_json(said({.json = true}, work));
  EXPECT_EQ(line.at("level"), "info");
  EXPECT_EQ(line.at("step"), 3);
  EXPECT_EQ(said({.level = LogLevel::kWarning, .json = true}, work), "");
}

TEST(Log, AFileThatCannotBeWrittenIsRefusedAtOnce) {
  const auto folder = tests::fresh_folder("log_refused");
  EXPECT_NE(refusal([&] { data::start_log({.file = folder}); }).find(folder.string()),
            std::string::npos);
}

}  // namespace
