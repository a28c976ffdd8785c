#pragma once

// Runs the laurel binary as a user does, on input that it must refuse: exit code 2 and one line on
// stderr that says what is wrong and where.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "tests/support/paths.hpp"

namespace bad_input {

struct Case {
  const char* name;
  std::string arguments;  // of laurel, as a shell reads them; @ stands for the folder of fixtures
  std::vector<std::string> expected;  // each occurs in the line
};

inline void PrintTo(const Case& one, std::ostream* out) { *out << "laurel " << one.arguments; }

inline std::string case_name(const testing::TestParamInfo<Case>& info) { return info.param.name; }

// A folder that is removed at the end; `fill` writes the fixtures into it.
class Folder {
 public:
  Folder(const std::string& name, void (*fill)(const std::filesystem::path&))
      : path_(std::filesystem::path(testing::TempDir()) / (name + std::to_string(getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
    fill(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string text() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline std::string with_folder(std::string text, const std::string& folder) {
  for (size_t place = 0; (place = text.find('@', place)) != std::string::npos;
       place += folder.size())
    text.replace(place, 1, folder);
  return text;
}

struct Outcome {
  int exit_code = 0;
  std::string complaint;  // all of stderr
};

// `before` is said in the shell that starts laurel.
inline Outcome run_laurel(const std::string& arguments,
                          const std::string& folder,
                          const std::string& before = "") {
  const std::string command = before + "OMP_NUM_THREADS=1 " + std::string(tests::program()) + " " +
                              with_folder(arguments, folder) + " 2>&1 > /dev/null < /dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  Outcome outcome;
  for (int letter = fgetc(pipe); letter != EOF; letter = fgetc(pipe))
    outcome.complaint += static_cast<char>(letter);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

inline void expect_complaint(const Outcome& outcome,
                             const std::vector<std::string>& expected,
                             const std::string& folder) {
  EXPECT_EQ(outcome.exit_code, 2) << outcome.complaint;
  EXPECT_EQ(std::count(outcome.complaint.begin(), outcome.complaint.end(), '\n'), 1)
      << outcome.complaint;
  for (const std::string& part : expected) {
    EXPECT_NE(outcome.complaint.find(with_folder(part, folder)), std::string::npos)
        << "no '" << part << "' in: " << outcome.complaint;
  }
}

inline void expect_refused(const Case& one, const std::string& folder) {
  expect_complaint(run_laurel(one.arguments, folder), one.expected, folder);
}

}  // namespace bad_input
