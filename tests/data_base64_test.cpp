#include <gtest/gtest.h>

#include "data/base64.hpp"

TEST(Base64, IsThatOfRfc4648) {
  EXPECT_EQ(data::base64(""), "");
  EXPECT_EQ(data::base64("f"), "Zg==");
  EXPECT_EQ(data::base64("fo"), "Zm8=");
  EXPECT_EQ(data::base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(data::base64("\xff\xfe"), "//4=");
}
