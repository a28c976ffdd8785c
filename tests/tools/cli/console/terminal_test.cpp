#include "tools/cli/console/terminal.hpp"

#include <gtest/gtest.h>

#include <iostream>
#include <sstream>

namespace {

// What reaches std::cout, and std::cerr after it.
template <class Write>
std::string reached(const Write& write) {
  std::ostringstream output, errors;
  auto* const before = std::cout.rdbuf(output.rdbuf());
  auto* const errors_before = std::cerr.rdbuf(errors.rdbuf());
  {
    const tools::SafeOutput safe;
    write();
  }
  std::cout.rdbuf(before);
  std::cerr.rdbuf(errors_before);
  return output.str() + errors.str();
}

TEST(SafeOutput, EscapesWhatDrivesATerminal) {
  EXPECT_EQ(reached([] { std::cout << "a\x1b[2Jb\n" << std::flush; }), "a\\u001b[2Jb\n");
  EXPECT_EQ(reached([] { std::cerr << "name\xE2\x80\xAEgnp.\t" << 4 << std::endl; }),
            "name\\u202egnp.\t4\n");
  EXPECT_EQ(reached([] {
              std::cerr << '\r' << "50 %"
                        << "a\rb";
            }),
            "\r50 %a\\u000db");
}

// RFC 4180's line end; a '\r' elsewhere would let a name write over the line.
TEST(SafeOutput, TheLineEndsOfCsvStay) {
  EXPECT_EQ(reached([] { std::cout << "file,score\r\na\rb.png,1\r\n"; }),
            "file,score\r\na\\u000db.png,1\r\n");
}

TEST(SafeOutput, CharactersMayComeInPieces) {
  EXPECT_EQ(reached([] {
              for (const char byte : std::string("caf\xC3\xA9 \xF0\x9F\x8C\x99")) std::cerr << byte;
            }),
            "caf\xC3\xA9 \xF0\x9F\x8C\x99");
  EXPECT_EQ(reached([] { std::cout << "cut \xF0\x9F"; }), "cut \\xf0\\x9f");
}

}  // namespace
