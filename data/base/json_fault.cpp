#include "data/base/json_fault.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/unicode/encoding.hpp"

using nlohmann::json;

namespace data {
namespace {

// Keeps nothing but the place of the first error.
struct ErrorPlace : nlohmann::json_sax<json> {
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    at = position == 0 ? 0 : position - 1;
    return false;
  }
  size_t at = 0;  // bytes before it
};

std::string shown(char letter) {
  if (letter >= ' ' && letter <= '~') return std::string("'") + letter + "'";
  char code[8];
  std::snprintf(code, sizeof code, "0x%02X", static_cast<unsigned char>(letter));
  return std::string("byte ") + code;
}

std::string what_at(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at);
  if (rest.empty()) return "the text ends there";
  for (const char* word : {"NaN", "Infinity"}) {
    if (rest.starts_with(word)) return std::string(word) + ", which JSON does not have";
  }
  const size_t before = at == 0 ? text.npos : text.find_last_not_of(" \t\r\n", at - 1);
  if ((rest[0] == '}' || rest[0] == ']') && before != text.npos && text[before] == ',')
    return std::string("a comma before ") + shown(rest[0]);
  if (rest[0] == '\'') return "a single quote where JSON has a double one";
  return "unexpected " + shown(rest[0]);
}

}  // namespace

std::string json_fault(std::string_view text) {
  if (const std::string fault = text_fault(text); !fault.empty()) return fault;
  ErrorPlace place;
  if (json::sax_parse(text, &place)) return "";
  const size_t at = std::min(place.at, text.size());
  const std::string_view before = text.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t column = at - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  const bool several = text.find('\n') < text.find_last_not_of(" \t\r\n");
  return (several ? "line " + std::to_string(line) + ", " : "") + "column " +
         std::to_string(column) + ": " + what_at(text, at);
}

}  // namespace data
