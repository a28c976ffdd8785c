#include "data/storage/digest_cache.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <iterator>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/storage/sha256.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

TEST(DigestCache, KeepsADigestUntilSizeOrTimeOfTheFileChange) {
  const fs::path folder = tests::fresh_folder("kept"), file = folder / "weights",
                 cache = folder / "cache";
  data::write_file(file, "abc");
  const auto time = fs::last_write_time(file);
  EXPECT_EQ(data::cached_sha256_of_file(file, cache), data::sha256("abc"));
  // Other bytes under the same size and time: the kept digest shows that nothing was hashed.
  data::write_file(file, "abd");
  fs::last_write_time(file, time);
  EXPECT_EQ(data::cached_sha256_of_file(file, cache), data::sha256("abc"));
  fs::last_write_time(file, time + std::chrono::seconds(1));
  EXPECT_EQ(data::cached_sha256_of_file(file, cache), data::sha256("abd"));
  data::write_file(file, "abcd");
  fs::last_write_time(file, time + std::chrono::seconds(1));
  EXPECT_EQ(data::cached_sha256_of_file(file, cache), data::sha256("abcd"));
}

TEST(DigestCache, ADamagedEntryAndACacheThatCannotBeWrittenAreNoErrors) {
  const fs::path folder = tests::fresh_folder("damaged"), file = folder / "weights",
                 cache = folder / "cache";
  data::write_file(file, "abc");
  data::cached_sha256_of_file(file, cache);
  for (const auto& entry : fs::directory_iterator(cache / "sha256"))
    data::write_file(entry.path(), "nonsense");
  EXPECT_EQ(data::cached_sha256_of_file(file, cache), data::sha256("abc"));
  data::write_file(folder / "blocked", "a file where a folder is expected");
  EXPECT_EQ(data::cached_sha256_of_file(file, folder / "blocked"), data::sha256("abc"));
  EXPECT_EQ(data::cached_sha256_of_file(file, {}), data::sha256("abc"));
}

TEST(DigestCache, AFileThatIsMissingIsRefused) {
  const fs::path folder = tests::fresh_folder("missing");
  EXPECT_THROW(data::cached_sha256_of_file(folder / "none", folder / "cache"), data::BadInput);
}

}  // namespace
