#include "data/system/child_process.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

int exit_code(data::ChildProcess& child) {
  while (!child.ended()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return *child.ended();
}

TEST(ChildProcess, TakesItsArgumentsAsTheyAre) {
  const auto log = tests::fresh_folder() / "log";
  data::write_file(log, "before\n");
  data::ChildProcess child({"/bin/echo", "$(id); `id` > x", "a\"b", ""}, log);
  EXPECT_EQ(exit_code(child), 0);
  EXPECT_EQ(data::read_file(log), "before\n$(id); `id` > x a\"b \n");
}

TEST(ChildProcess, TellsHowItEnded) {
  const auto log = tests::fresh_folder() / "log";
  data::ChildProcess failing({"/bin/sh", "-c", "echo why >&2; exit 3"}, log);
  EXPECT_EQ(exit_code(failing), 3);
  EXPECT_EQ(data::read_file(log), "why\n");
  data::ChildProcess sleeping({"/bin/sleep", "100"}, log);
  EXPECT_FALSE(sleeping.ended());
  sleeping.terminate();
  EXPECT_EQ(exit_code(sleeping), 128 + 15);
  sleeping.terminate();  // nothing: it has ended
}

TEST(ChildProcess, ReadsNothingAndEndsWithItsOwner) {
  const auto log = tests::fresh_folder() / "log";
  data::ChildProcess reading({"/bin/cat"}, log);
  EXPECT_EQ(exit_code(reading), 0);
  pid_t process = 0;
  {
    data::ChildProcess sleeping({"/bin/sleep", "100"}, log);
    process = sleeping.process();
    EXPECT_EQ(kill(process, 0), 0);
  }
  EXPECT_NE(kill(process, 0), 0);
}

TEST(ChildProcess, AProgramThatIsMissingIsNamed) {
  EXPECT_NE(refusal([] {
              data::ChildProcess({"/no/program"}, "/dev/null");
            }).find("/no/program: cannot be started: No such file"),
            std::string::npos);
}

}  // namespace
