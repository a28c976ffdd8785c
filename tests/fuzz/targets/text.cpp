// JSON, CSV and the encodings of texts.

#include <nlohmann/json.hpp>

#include "data/base/base64.hpp"
#include "data/base/csv.hpp"
#include "data/base/json.hpp"
#include "data/base/json_fault.hpp"
#include "data/unicode/characters.hpp"
#include "data/unicode/encoding.hpp"
#include "data/unicode/utf8.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

using namespace std::string_literals;

void json(std::string_view input) {
  const auto value = data::parse_json(input);
  require(value.is_discarded() == (data::is_too_deep(input) || !data::json_fault(input).empty()),
          "json_fault agrees with parse_json");
  require(value.is_discarded() == data::parse_ordered_json(input).is_discarded(),
          "both orders of keys accept the same texts");
  if (!value.is_discarded())
    require(data::parse_json(data::to_text(value)) == value, "JSON that is written is read back");
  data::parse_json_with_nan(input);
  attempt([&] { data::parse_json_object(input, "input"); });
}

void csv(std::string_view input) { data::check_commas(data::parse_csv(input, "input"), "input"); }

void text(std::string_view input) {
  const std::string decoded = data::decoded_text(input);
  require(data::text_fault(decoded).empty() ==
              (data::is_utf8(decoded) && decoded.find('\0') == std::string::npos),
          "text_fault agrees with is_utf8");
  require(data::is_utf8(data::printable(decoded)), "what is printable is UTF-8");
  require(data::shortened(decoded, 40).size() <= 42, "a shortened text is short");
  require(data::to_latin1(data::from_latin1(input)) == std::string(input), "Latin-1 comes back");
  const std::u32string points = data::decode_utf8(decoded);
  if (data::is_utf8(decoded))
    require(data::encode_utf8(points) == decoded, "code points that are written come back");
  const std::u32string composed = data::nfc(points);
  require(data::nfc(composed) == composed, "form C of form C is itself");
  data::without_accents(data::lower(points));
  for (size_t at = 0; at <= decoded.size() && at < 16; ++at) data::inside_word(decoded, at);
  require(data::from_base64(data::base64(input)) == input, "base64 comes back");
  data::from_base64(std::string(input));
}

}  // namespace

Targets text_targets() {
  return {
      {.name = "json",
       .run = json,
       .seeds = {R"({"a": [1, -2.5e-3, true, null, "\u00e9\ud83d\ude00"], "b": {}})", "[]", "NaN",
                 R"([{"x": 1e999}, Infinity])"},
       .words = {"{\"\":", "\\u0000", "\\ud800", "1e308", "-0.0", "NaN", "null", "[[[["}},
      {.name = "csv",
       .run = csv,
       .seeds = {"file_name,text\na.png,\"a \"\"red\"\" circle, small\"\r\n", "a;b\n1;2\n"},
       .words = {"\"\"", "\r\n", "\",\"", "\xEF\xBB\xBF"}},
      {.name = "text",
       .run = text,
       .seeds = {"caf\xC3\xA9 \xF0\x9F\x98\x80",
                 "\xFF\xFE"
                 "a\0b\0"s,
                 "\xFE\xFF\xD8\x3D\xDE\x00"s, "YWJj", "YQ=="},
       .words = {"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF", "e\xCC\x81", "\xED\xA0\x80",
                 "\xE1\x84\x80", "=="}},
  };
}

}  // namespace fuzz
