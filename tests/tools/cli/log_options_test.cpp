// The options of the log, which every command has.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/base/log.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"
#include "tools/cli/console/progress.hpp"
#include "tools/cli/options.hpp"
#include "tools/commands.hpp"
#include "tools/reference/command_pages.hpp"

namespace {

struct LogOptions : testing::Test {
  ~LogOptions() override { data::start_log({}); }
};

std::string resolved_with(const std::vector<std::string>& arguments) {
  int64_t seed = 3;
  tools::Options options("try", "Tries.");
  options.integer("seed", seed, "");
  options.parse(arguments);
  return options.resolved();
}

TEST_F(LogOptions, AreInTheTableOfEveryCommand) {
  int64_t count = 0;
  for (const auto& page : tools::command_pages(tools::all_commands())) {
    if (page.schema.is_null()) continue;
    ++count;
    const auto& keys = page.schema.at("properties");
    EXPECT_EQ(keys.at("log_level").at("enum"), nlohmann::json(data::log_level_names()));
    EXPECT_EQ(keys.at("log_level").at("default"), "info");
    EXPECT_EQ(keys.at("log_file").at("type"), "string");
    EXPECT_EQ(keys.at("log_json").at("type"), "boolean");
  }
  EXPECT_GT(count, 25);
}

TEST_F(LogOptions, StartTheLogAndStayOutOfTheConfiguration) {
  const auto folder = tests::fresh_folder("log_options");
  const std::string file = (folder / "a.log").string();
  EXPECT_EQ(resolved_with({"--log-level", "warning", "--log-file", file, "--log-json"}),
            "seed = 3\n");
  EXPECT_EQ(data::log_settings().level, data::LogLevel::kWarning);
  EXPECT_EQ(data::log_settings().file, file);
  EXPECT_TRUE(data::log_settings().json);
  data::write_file(folder / "c.toml", "log_level = \"error\"\n");
  resolved_with({"--config", (folder / "c.toml").string()});
  EXPECT_EQ(data::log_settings().level, data::LogLevel::kError);
  resolved_with({});
  EXPECT_EQ(data::log_settings().level, data::LogLevel::kInfo);
  EXPECT_NE(refusal([] {
              resolved_with({"--log-level", "inf"});
            }).find("did you mean info?"),
            std::string::npos);
}

TEST_F(LogOptions, DebugShowsTheConfiguration) {
  testing::internal::CaptureStderr();
  resolved_with({"--log-level=debug", "--seed=4"});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "laurel try, the configuration:\nseed = 4\n");
}

TEST_F(LogOptions, ProgressIsALineWithFiguresInJson) {
  data::start_log({.json = true});
  testing::internal::CaptureStderr();
  {
    tools::Progress progress("Work", 2);
    progress.advance(2, "done");
  }
  const auto line = data::parse_json(testing::internal::GetCapturedStderr());
  EXPECT_EQ(line.at("task"), "Work");
  EXPECT_EQ(line.at("done"), 2);
  EXPECT_EQ(line.at("total"), 2);
  data::start_log({.level = data::LogLevel::kWarning});
  testing::internal::CaptureStderr();
  {
    tools::Progress progress("Work", 1);
    progress.advance();
    progress.print("a line");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
