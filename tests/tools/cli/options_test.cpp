#include "tools/cli/options.hpp"

#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"

namespace {

struct Given {
  std::string prompt;
  int64_t count = 1;
  bool quick = false;
  std::vector<std::string> axes, positional;
};

Given parsed(const std::vector<std::string>& arguments) {
  Given given;
  tools::Options options("try", "Tries.");
  options.text("prompt", given.prompt, "");
  options.short_name("prompt", 'p');
  options.integer("batch_count", given.count, "", 1, 100);
  options.short_name("batch_count", 'n');
  options.flag("quick", given.quick, "");
  options.list("axes", given.axes, "");
  given.positional = options.parse(arguments).positional;
  return given;
}

TEST(Options, AValueMayBeginWithDashes) {
  EXPECT_EQ(parsed({"-p", "--a dashed line"}).prompt, "--a dashed line");
  EXPECT_EQ(parsed({"--prompt", "--a dashed line"}).prompt, "--a dashed line");
  EXPECT_EQ(parsed({"--prompt=--quick"}).prompt, "--quick");
  EXPECT_EQ(parsed({"-p--quick"}).prompt, "--quick");
  EXPECT_EQ(parsed({"-p", "-"}).prompt, "-");
  EXPECT_EQ(parsed({"-p", "-n"}).prompt, "-n");
  EXPECT_EQ(parsed({"-p", std::string(100000, '-')}).prompt.size(), 100000u);
}

TEST(Options, TakeTheUsualForms) {
  const auto given = parsed({"one", "--batch-count=3", "--quick", "--axes", "a,b", "--axes=c",
                             "-n4", "two", "--", "--quick", "-p"});
  EXPECT_EQ(given.count, 4);
  EXPECT_TRUE(given.quick);
  EXPECT_EQ(given.axes, (std::vector<std::string>{"a,b", "c"}));
  EXPECT_EQ(given.positional, (std::vector<std::string>{"one", "two", "--quick", "-p"}));
  EXPECT_FALSE(parsed({"--quick", "--quick=false"}).quick);
  EXPECT_EQ(parsed({"--prompt="}).prompt, "");
}

TEST(Options, MistakesAreNamed) {
  const auto said = [](const std::vector<std::string>& arguments) {
    return refusal([&] { parsed(arguments); });
  };
  EXPECT_NE(said({"-p"}).find("-p: expected a value after it, found none"), std::string::npos);
  EXPECT_NE(said({"--prompt", "--batch-count", "3"}).find("found the option --batch-count"),
            std::string::npos);
  EXPECT_NE(said({"--promt", "x"}).find("did you mean prompt?"), std::string::npos);
  EXPECT_NE(said({"--a dashed line"}).find("unknown"), std::string::npos);
  EXPECT_NE(said({"-z"}).find("-z: unknown"), std::string::npos);
  EXPECT_NE(said({"-n", "four"}).find("expected a whole number"), std::string::npos);
  EXPECT_NE(said({"--quick=maybe"}).find("expected true or false"), std::string::npos);
}

}  // namespace
