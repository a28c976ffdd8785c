#include "data/unicode/encoding.hpp"

#include <gtest/gtest.h>

#include "data/base/files.hpp"
#include "data/base/json_fault.hpp"

namespace {

TEST(TextEncoding, MarksGoAndUtf16BecomesUtf8) {
  EXPECT_EQ(data::decoded_text("plain"), "plain");
  EXPECT_EQ(data::decoded_text("\xEF\xBB\xBFplain"), "plain");
  EXPECT_EQ(data::decoded_text(std::string("\xFF\xFE"
                                           "a\0\xE9\0",
                                           6)),
            "a\xC3\xA9");
  EXPECT_EQ(data::decoded_text(std::string("\xFE\xFF"
                                           "\0a\0\xE9",
                                           6)),
            "a\xC3\xA9");
  // U+1F408 as a pair of surrogates, then half of one, and a byte too many.
  EXPECT_EQ(data::decoded_text(std::string("\xFF\xFE\x3D\xD8\x08\xDC\x3D\xD8x", 9)),
            "\xF0\x9F\x90\x88\xEF\xBF\xBD");
  EXPECT_EQ(data::decoded_text("caf\xE9"), "caf\xE9");
}

TEST(TextEncoding, FaultsNameTheByteAndItsLine) {
  EXPECT_EQ(data::text_fault("caf\xC3\xA9, \xF0\x9F\x90\x88"), "");
  EXPECT_EQ(
      data::text_fault("one\ncaf\xE9 x"),
      "expected UTF-8 text, found byte 0xE9 on line 2 (Windows-1252 or Latin-1?); convert it: "
      "iconv -f WINDOWS-1252 -t UTF-8");
  EXPECT_NE(data::text_fault(std::string("a\0b\0", 4)).find("NUL"), std::string::npos);
  EXPECT_NE(data::text_fault("\xED\xA0\x80").find("0xED"), std::string::npos);  // a surrogate
}

TEST(TextEncoding, LinesOfAUtf16FileAreHandedOn) {
  const auto path = std::filesystem::path(testing::TempDir()) / "laurel_utf16.txt";
  data::write_file(path, std::string("\xFF\xFE"
                                     "a\0\r\0\n\0b\0",
                                     10));
  std::string lines;
  data::for_each_line(path,
                      [&](const std::string& line, const std::string&) { lines += line + "|"; });
  EXPECT_EQ(lines, "a\r|b|");
}

TEST(JsonFault, NamesThePlaceAndTheReason) {
  EXPECT_EQ(data::json_fault(R"({"a": [1, 2.5, null]})"), "");
  EXPECT_EQ(data::json_fault(R"({"a": NaN})"), "column 7: NaN, which JSON does not have");
  EXPECT_EQ(data::json_fault("{\"a\":\n -Infinity}"),
            "line 2, column 3: Infinity, which JSON does not have");
  EXPECT_EQ(data::json_fault(R"({"a": 1, })"), "column 10: a comma before '}'");
  EXPECT_EQ(data::json_fault("[1,\n2,]"), "line 2, column 3: a comma before ']'");
  EXPECT_EQ(data::json_fault("{'a': 1}"), "column 2: a single quote where JSON has a double one");
  EXPECT_EQ(data::json_fault(R"({"a": 1)"), "column 8: the text ends there");
  EXPECT_EQ(data::json_fault(""), "column 1: the text ends there");
  EXPECT_NE(data::json_fault("{\"a\": \"caf\xE9\"}").find("0xE9"), std::string::npos);
}

}  // namespace
