#include "data/base/base64.hpp"

#include <gtest/gtest.h>

#include "tests/support/refusal.hpp"

TEST(Base64, IsThatOfRfc4648) {
  EXPECT_EQ(data::base64(""), "");
  EXPECT_EQ(data::base64("f"), "Zg==");
  EXPECT_EQ(data::base64("fo"), "Zm8=");
  EXPECT_EQ(data::base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(data::base64("\xff\xfe"), "//4=");
}

TEST(FromBase64, IsTheWayBack) {
  for (const std::string bytes : {"", "a", "ab", "abc", "\xff\x01\x80z"})
    EXPECT_EQ(data::from_base64(data::base64(bytes)), bytes);
  EXPECT_NE(refusal([] { data::from_base64("a!"); }), "");
}

TEST(FromHex, ReadsPairsOfDigits) {
  EXPECT_EQ(data::from_hex(""), "");
  EXPECT_EQ(data::from_hex("00fFa1"), std::string("\0\xff\xa1", 3));
  for (const std::string wrong : {"a", "0g", "-1", " 1", "0x"})
    EXPECT_NE(refusal([&] { data::from_hex(wrong); }), "") << wrong;
}
