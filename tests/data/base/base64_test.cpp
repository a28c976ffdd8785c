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
