#include "tools/studio/server/qr_code.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <vector>

#include "tests/support/refusal.hpp"

namespace {

// The modules of a drawn code: true where it is light.
std::vector<std::vector<bool>> modules_of(const std::string& drawn) {
  std::vector<std::vector<bool>> rows;
  std::istringstream lines(drawn);
  for (std::string line; std::getline(lines, line);) {
    std::vector<bool> above, below;
    for (size_t i = 0; i < line.size(); i += line[i] == ' ' ? 1 : 3) {
      const std::string letter = line.substr(i, line[i] == ' ' ? 1 : 3);
      above.push_back(letter == "\u2588" || letter == "\u2580");
      below.push_back(letter == "\u2588" || letter == "\u2584");
    }
    rows.push_back(above);
    rows.push_back(below);
  }
  return rows;
}

TEST(QrCode, HasTheCornersAndMarginOfACode) {
  const auto rows = modules_of(studio::qr_code("http://192.168.1.5:7860/#t=0123456789abcdef"));
  const size_t side = rows[0].size();
  EXPECT_EQ((side - 8 - 17) % 4, 0u);  // versions have 17 + 4 n modules; four more on each side
  const char* finder[] = {"#######", "#.....#", "#.###.#", "#.###.#",
                          "#.###.#", "#.....#", "#######"};
  for (size_t row = 0; row < 7; ++row) {
    for (size_t column = 0; column < 7; ++column) {
      const bool light = finder[row][column] == '.';
      EXPECT_EQ(rows[4 + row][4 + column], light);
      EXPECT_EQ(rows[4 + row][side - 5 - column], light);
      EXPECT_EQ(rows[side - 5 - row][4 + column], light);
    }
  }
  for (size_t i = 0; i < side; ++i) {
    EXPECT_TRUE(rows[3][i]);
    EXPECT_TRUE(rows[i][3]);
    EXPECT_TRUE(rows[i][side - 1]);
  }
}

TEST(QrCode, SameTextsAreTheSameCode) {
  EXPECT_EQ(studio::qr_code("a"), studio::qr_code("a"));
  EXPECT_NE(studio::qr_code("a"), studio::qr_code("b"));
}

TEST(QrCode, RefusesWhatNoCodeHolds) {
  EXPECT_NE(refusal([] { studio::qr_code(""); }).find("QR code: expected"), std::string::npos);
  EXPECT_NE(refusal([] { studio::qr_code(std::string(5000, 'x')); }).find("found 5000"),
            std::string::npos);
}

}  // namespace
