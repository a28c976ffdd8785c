#include "data/storage/replace_folder.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

TEST(ReplaceFolder, PutsANewOneInThePlaceOfTheOld) {
  const fs::path folder = tests::fresh_folder();
  const fs::path from = folder / "model.tmp", to = folder / "model";
  for (const char* text : {"old", "new"}) {
    data::write_file(from / text, text);
    data::replace_folder(from, to);
    EXPECT_EQ(data::read_file(to / text), text);
    EXPECT_FALSE(fs::exists(from));
  }
  EXPECT_FALSE(fs::exists(to / "old"));
  EXPECT_THROW(data::replace_folder(from, folder / "other"), fs::filesystem_error);
}

}  // namespace
