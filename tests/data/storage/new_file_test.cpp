#include "data/storage/new_file.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

// Writes new files, by both functions, until it is killed.
[[noreturn]] void write_for_ever(const fs::path& folder, const std::string& bytes) {
  for (int i = 0;; ++i) {
    data::write_new_file(folder / (std::to_string(i) + "-new"), bytes);
    data::write_file(folder / (std::to_string(i) + "-first"), bytes);
  }
}

TEST(WriteNewFile, AKillAtAnyMomentLeavesWholeFilesAlone) {
  const fs::path folder = tests::fresh_folder();
  const std::string bytes(10000, 'x');
  for (int trial = 0; trial < 40; ++trial) {
    const pid_t child = ::fork();
    if (child == 0) write_for_ever(folder / std::to_string(trial), bytes);
    ::usleep(static_cast<useconds_t>(2000 + 137 * trial));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory()) continue;
    EXPECT_EQ(entry.path().extension(), "") << entry.path();
    EXPECT_EQ(entry.file_size(), bytes.size()) << entry.path();
  }
}

}  // namespace
