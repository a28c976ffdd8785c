#include "data/unicode/utf8.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Utf8, PrintableTextHasNoControls) {
  EXPECT_EQ(data::printable("caf\xC3\xA9 \xF0\x9F\x8C\x99"), "caf\xC3\xA9 \xF0\x9F\x8C\x99");
  EXPECT_EQ(data::printable("a\x1b[31mb\n"), "a\\u001b[31mb\\u000a");
  EXPECT_EQ(data::printable("a\tb\nc", "\n\t"), "a\tb\nc");
  EXPECT_EQ(data::printable("\x7f\xC2\x9b"), "\\u007f\\u009b");              // CSI
  EXPECT_EQ(data::printable("\xE2\x80\xAE\xE2\x81\xA6"), "\\u202e\\u2066");  // turns
  EXPECT_EQ(data::printable("\xE2\x80\xA8"), "\\u2028");                     // a line's end
  EXPECT_EQ(data::printable("caf\xE9"), "caf\\xe9");
  EXPECT_EQ(data::printable(""), "");
}

TEST(Utf8, ShortenedTextEndsBetweenCharacters) {
  EXPECT_EQ(data::shortened("abc", 3), "abc");
  EXPECT_EQ(data::shortened("abcd", 3), "abc..");
  EXPECT_EQ(data::shortened("ab\xC3\xA9", 3), "ab..");
}

}  // namespace
