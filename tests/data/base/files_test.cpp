#include "data/base/files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "data/base/splitmix.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

TEST(ForEachLine, NumbersThemAndPassesOverBlankOnes) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_lines.txt";
  data::write_file(path, "one\n \t\r\n\n two ");
  std::vector<std::pair<std::string, std::string>> lines;
  const auto take = [&](const std::string& line, const std::string& where) {
    lines.emplace_back(line, where);
  };
  EXPECT_EQ(data::for_each_line(path, take), 4);
  EXPECT_EQ(lines, (std::vector<std::pair<std::string, std::string>>{
                       {"one", path.string() + ":1"}, {" two ", path.string() + ":4"}}));
  EXPECT_NE(refusal([&] { data::for_each_line("/nonexistent", take); }), "");
}

TEST(ReadFile, GivesTheBytesAsTheyAre) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_bytes.bin";
  std::string bytes(200000, 'a');
  bytes[70000] = '\0';
  data::write_file(path, bytes);
  EXPECT_EQ(data::read_file(path), bytes);
}

TEST(ReadFile, RefusesWhatHasNoEndAndWhatIsTooLarge) {
  EXPECT_EQ(refusal([] { data::read_file("/dev/zero"); }),
            "/dev/zero: expected a file of at most 64 MiB, found more; check the path");
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_sparse.bin";
  data::write_file(path, "");
  std::filesystem::resize_file(path, data::kLargestFile + 1);
  EXPECT_EQ(refusal([&] { data::read_file(path); }),
            path.string() + ": expected a file of at most 2048 MiB, found more; check the path");
  std::filesystem::remove(path);
}

TEST(WriteFile, LeavesNothingOfAProcessThatIsKilled) {
  const fs::path folder = tests::fresh_folder();
  const int unnamed = ::open(folder.c_str(), O_WRONLY | O_TMPFILE, 0600);
  if (unnamed < 0) GTEST_SKIP() << "SKIPPED: this file system has no files without a name";
  ::close(unnamed);
  const pid_t child = ::fork();
  if (child == 0) {
    data::write_file_in_pieces(folder / "weights", [](const data::Append& append) {
      append("half", 4);
      ::kill(::getpid(), SIGKILL);
    });
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::is_empty(folder));
  data::write_file(folder / "weights", "whole");
  EXPECT_EQ(data::read_file(folder / "weights"), "whole");
  EXPECT_THROW(data::write_file_in_pieces(folder / "weights",
                                          [](const data::Append&) { throw data::BadInput("x"); }),
               data::BadInput);
  EXPECT_EQ(data::read_file(folder / "weights"), "whole");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
}

// The first numbers of the stream of seed 0, as published with the generator.
TEST(Splitmix, IsThePublishedStream) {
  EXPECT_EQ(data::splitmix64(0), 0xe220a8397b1dcdafu);
  EXPECT_EQ(data::splitmix64(data::kSplitmixStep), 0x6e789e6aa1b965f4u);
}

}  // namespace
