#include "data/storage/cut_line.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

namespace fs = std::filesystem;

TEST(DropCutLine, KeepsTheWholeLines) {
  const fs::path path = tests::fresh_folder() / "lines";
  data::drop_cut_line(path);
  EXPECT_FALSE(fs::exists(path));
  for (const auto& [text, kept] : {std::pair<std::string, std::string>{"a\nb\n", "a\nb\n"},
                                   {"a\nb", "a\n"},
                                   {"a", ""},
                                   {"", ""}}) {
    data::write_file(path, text);
    data::drop_cut_line(path);
    EXPECT_EQ(data::read_file(path), kept);
  }
}

}  // namespace
