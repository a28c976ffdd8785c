#include "tools/cli/config_file.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"

namespace {

TEST(ConfigFile, ATextThatIsWrittenIsReadBack) {
  const auto file = tests::fresh_folder("toml") / "a.toml";
  for (const std::string text : {"plain", "\n", "\na\n\n", "tab\tand \"quotes\" 'of both kinds'",
                                 "C:\\folder", "\x01", "caf\xC3\xA9", "'''", "\"\"\"", ""}) {
    data::write_file(file, "key = " + tools::toml_text(text) + "\n");
    const auto entries = tools::read_config_file(file);
    ASSERT_EQ(entries.size(), 1u) << text;
    EXPECT_EQ(entries[0].words, std::vector<std::string>{text});
  }
}

}  // namespace
