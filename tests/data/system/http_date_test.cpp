#include "data/system/http_date.hpp"

#include <gtest/gtest.h>

namespace {

TEST(HttpDate, HasThreeForms) {
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov  6 08:49:37 1994"})
    EXPECT_EQ(data::parse_http_date(text).value_or(-1), 784111777) << text;
  EXPECT_EQ(data::parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT").value_or(-1), 0);
  for (const char* text :
       {"", "7", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 0 Nov 1994 08:49:37 GMT", "a b c d e f g h"})
    EXPECT_FALSE(data::parse_http_date(text)) << text;
}

}  // namespace
