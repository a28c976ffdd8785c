#include "data/base/config_numbers.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "tests/support/refusal.hpp"

namespace {

TEST(ConfigNumbers, BeyondWhatANetworkHasAreRefused) {
  const auto said = [](const std::string& text) {
    return refusal([&] { data::check_config_numbers(data::parse_json(text), "config.json"); });
  };
  EXPECT_EQ(said(R"({"layers": 1000000000000})"),
            "config.json: layers: expected a number of at most 16777216, found 1000000000000");
  EXPECT_NE(said(R"({"widths": [64, -1e18]})").find("widths"), std::string::npos);
  EXPECT_NE(said(R"({"size": 18446744073709551615})").find("size"), std::string::npos);
  data::check_config_numbers(
      data::parse_json(R"({"a": 16777216, "b": [1, "x", null], "_seed": 1e30, "c": "1e30"})"), "");
}

}  // namespace
