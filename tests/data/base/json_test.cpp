#include "data/base/json.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json_fault.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

fs::path file_with(const std::string& name, const std::string& text) {
  const fs::path path = fs::path(testing::TempDir()) / ("laurel_json_" + name);
  data::write_file(path, text);
  return path;
}

template <class F>
std::string complaint(F act) {
  try {
    act();
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(Json, TextByHand) {
  const json value = {{"b", {1, 2.5, true, nullptr}}, {"a", "\"\n\xC3\xA9"}};
  EXPECT_EQ(data::to_text(value), "{\"a\":\"\\\"\\n\xC3\xA9\",\"b\":[1,2.5,true,null]}");
  EXPECT_EQ(data::to_text(json{{"a", {1}}}, 2), "{\n  \"a\": [\n    1\n  ]\n}");
  const ordered_json ordered = {{"b", 1}, {"a", 2}};
  EXPECT_EQ(data::to_text(ordered), R"({"b":1,"a":2})");
  EXPECT_EQ(data::to_text(json(std::numeric_limits<double>::infinity())), "null");
  EXPECT_EQ(data::to_text(json("caf\xE9")), "\"caf\xEF\xBF\xBD\"");
}

TEST(Json, ParsesByHand) {
  const json value = data::parse_json(" {\"a\": [1, -2.5e1, \"\\u00e9\"]} ");
  EXPECT_EQ(value.at("a").at(0).get<int64_t>(), 1);
  EXPECT_EQ(value.at("a").at(1).get<double>(), -25);
  EXPECT_EQ(value.at("a").at(2).get<std::string>(), "\xC3\xA9");
  EXPECT_EQ(data::to_text(data::parse_ordered_json(R"({"z": 1, "a": {"c": 2, "b": 3}})")),
            R"({"z":1,"a":{"c":2,"b":3}})");
}

json random_value(std::mt19937& generator, int depth) {
  static const char* const kTexts[] = {"", "a", "\"\\/\b\t\n", "\xE6\x9C\x88\xF0\x9F\x8C\x99"};
  switch (generator() % (depth > 0 ? 8 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return generator() % 2 == 0;
    case 2:
      return std::numeric_limits<int64_t>::min() + static_cast<int64_t>(generator());
    case 3:
      return std::numeric_limits<uint64_t>::max() - generator();
    case 4:
      return std::ldexp(static_cast<double>(generator()) / 3, static_cast<int>(generator() % 900));
    case 5:
      return kTexts[generator() % 4];
    case 6: {
      json list = json::array();
      for (auto left = generator() % 4; left > 0; --left)
        list.push_back(random_value(generator, depth - 1));
      return list;
    }
    default: {
      json object = json::object();
      for (auto left = generator() % 4; left > 0; --left)
        object[kTexts[generator() % 4]] = random_value(generator, depth - 1);
      return object;
    }
  }
}

TEST(Json, EveryValueComesBackFromItsText) {
  std::mt19937 generator(7);
  for (int round = 0; round < 500; ++round) {
    const json value = random_value(generator, 4);
    for (const int indent : {-1, 0, 3}) {
      const std::string text = data::to_text(value, indent);
      EXPECT_TRUE(data::parse_json(text) == value) << text;
      EXPECT_EQ(data::to_text(data::parse_ordered_json(text), indent), text);
    }
  }
}

TEST(Json, WhatIsNoJsonIsDiscarded) {
  const std::vector<std::string> texts{
      "",
      "{",
      "[1,]",
      "{'a': 1}",
      "1 2",
      "NaN",
      "\"caf\xE9\"",
      std::string("{\"a\": 1}\0{\"b\": 2}",
                  17)};  // zeros behind the text, as after a loss of power
  for (const std::string& text : texts) {
    EXPECT_TRUE(data::parse_json(text).is_discarded()) << text;
    EXPECT_TRUE(data::parse_ordered_json(text).is_discarded()) << text;
    EXPECT_EQ(complaint([&] { data::parse_json_object(text, "file:3"); }),
              "file:3: expected a JSON object, found no JSON: " + data::json_fault(text));
  }
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, DeepValuesAreRefused) {
  EXPECT_TRUE(data::parse_json(nested(data::kDeepestJson)).is_array());
  for (const int depth : {data::kDeepestJson + 1, 1000000}) {
    EXPECT_TRUE(data::parse_json(nested(depth)).is_discarded());
    EXPECT_TRUE(data::parse_ordered_json(nested(depth)).is_discarded());
  }
  EXPECT_TRUE(data::parse_json("[\"" + std::string(1000, '[') + "\\\"" + "\"]").is_array());
  EXPECT_EQ(
      complaint([&] { data::parse_json_object("{\"a\":" + nested(300) + "}", "config.json"); }),
      "config.json: values inside values, more than 200 deep; laurel does not read that");
  const fs::path deep = file_with("deep.json", nested(300));
  EXPECT_NE(complaint([&] { data::read_json(deep); }).find("200 deep"), std::string::npos);
}

TEST(Json, NaNIsNullWhereItIsAllowed) {
  EXPECT_EQ(
      data::to_text(data::parse_json_with_nan(
          R"({"NaN": [NaN, -Infinity, Infinity, nan, 1e999, -2.5e1, "NaN \" 1e999", true]})")),
      R"({"NaN":[null,null,null,null,null,-25.0,"NaN \" 1e999",true]})");
  EXPECT_TRUE(data::parse_json_with_nan("1e-999").is_number());
  EXPECT_TRUE(data::parse_json_with_nan("{nan: 1}").is_discarded());
  EXPECT_TRUE(data::parse_json_with_nan("").is_discarded());
}

TEST(Json, FilesNameThemselvesWhenTheyAreWrong) {
  const fs::path list = file_with("list.json", "[1]"), cut = file_with("cut.json", "{\"a\": ");
  EXPECT_EQ(data::read_json(list).at(0).get<int>(), 1);
  EXPECT_EQ(complaint([&] { data::read_json(cut); }),
            cut.string() + ": expected JSON, found none: column 7: the text ends there");
  EXPECT_EQ(complaint([&] { data::read_json_object(list); }),
            list.string() + ": expected a JSON object, found JSON of another kind: array");
  EXPECT_EQ(
      complaint([&] { data::read_json_object(cut); }),
      cut.string() + ": expected a JSON object, found no JSON: column 7: the text ends there");
  EXPECT_EQ(data::read_json_object(file_with("good.json", "{\"a\": 2}")).at("a").get<int>(), 2);
  const fs::path missing = fs::path(testing::TempDir()) / "laurel_json_missing.json";
  EXPECT_NE(complaint([&] { data::read_json(missing); }).find(missing.string()), std::string::npos);
}

}  // namespace
