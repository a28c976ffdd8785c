#include "data/storage/folder_lock.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "data/base/files.hpp"
#include "data/storage/new_file.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

TEST(FolderLock, KeepsASecondOutUntilTheFirstLetsGo) {
  const fs::path folder = tests::fresh_folder("laurel_lock");
  {
    const data::FolderLock lock(folder);
    const std::string said = refusal([&] { const data::FolderLock second(folder); });
    EXPECT_NE(said.find("process " + std::to_string(getpid())), std::string::npos) << said;
    const fs::path other = tests::fresh_folder("other");
    data::FolderLock moved(other);
    moved = data::FolderLock();  // lets go
    const data::FolderLock again(other);
  }
  EXPECT_TRUE(fs::is_empty(folder));
  const data::FolderLock next(folder);
}

TEST(FolderLock, OfAFileIsBesideIt) {
  const fs::path file = tests::fresh_folder() / "scores.jsonl";
  {
    const auto lock = data::FolderLock::of_file(file);
    EXPECT_EQ(refusal([&] { data::FolderLock::of_file(file); }),
              file.string() + ": expected a file that no other laurel writes to, found process " +
                  std::to_string(getpid()) +
                  " at work in it; wait for it to end, or name another file");
  }
  EXPECT_FALSE(fs::exists(file.string() + ".lock"));
}

// A process that is killed leaves the file; the lock went with it.
TEST(FolderLock, OfAKilledProcessBindsNobody) {
  const fs::path folder = tests::fresh_folder("laurel_lock_killed");
  const pid_t child = fork();
  if (child == 0) {
    const data::FolderLock lock(folder);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(fs::exists(folder / ".laurel.lock"));
  const data::FolderLock lock(folder);
}

TEST(WriteNewFile, WritesOnceAndLeavesWhatIsThere) {
  const fs::path folder = tests::fresh_folder("laurel_new_file");
  EXPECT_TRUE(data::write_new_file(folder / "a", "first"));
  EXPECT_FALSE(data::write_new_file(folder / "a", "second"));
  EXPECT_EQ(data::read_file(folder / "a"), "first");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);  // no temporary file is left
}

// Threads stand for processes: names of temporary files are their own, and no number is lost.
TEST(WriteNewFile, ManyAtOnceLoseNothing) {
  const fs::path folder = tests::fresh_folder("laurel_at_once");
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        data::write_file(folder / "shared", std::string(1000, 'x'));
        for (int number = 0; !data::write_new_file(folder / std::to_string(number), "x");) ++number;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 81);
  EXPECT_EQ(data::read_file(folder / "shared").size(), 1000u);
}

}  // namespace
