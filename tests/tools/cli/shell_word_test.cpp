#include "tools/cli/shell_word.hpp"

#include <gtest/gtest.h>

namespace {

TEST(ShellWord, ReadsBackAsTheText) {
  EXPECT_EQ(tools::shell_word("a=b \"c\" $d"), "'a=b \"c\" $d'");
  EXPECT_EQ(tools::shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(tools::shell_word(""), "''");
}

}  // namespace
