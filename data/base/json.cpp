#include "data/base/json.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json_fault.hpp"
#include "data/unicode/encoding.hpp"

using nlohmann::json;
using nlohmann::ordered_json;

namespace data {
namespace {

// Behind the string that begins at `at`.
size_t string_end(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

bool is_of_number(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.';
}

// NaN, -Infinity, 1e999
bool is_not_finite(std::string_view part) {
  const std::string word(part);
  char* stop = nullptr;
  const double value = std::strtod(word.c_str(), &stop);
  return stop == word.c_str() + word.size() && !std::isfinite(value);
}

// nlohmann's parser takes a NUL for the end, and passes over what follows.
bool is_refused(std::string_view text) { return text.find('\0') != text.npos || is_too_deep(text); }

void refuse_depth(std::string_view text, const std::string& where) {
  if (is_too_deep(text))
    throw BadInput(where + ": values inside values, more than " + std::to_string(kDeepestJson) +
                   " deep; laurel does not read that");
}

std::string read_json_text(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!error && size > kLargestJsonFile)
    throw BadInput(path.string() + ": expected a JSON file of at most " +
                   std::to_string(kLargestJsonFile >> 20) + " MiB, found " +
                   std::to_string(size >> 20) + " MiB");
  return read_file(path);
}

}  // namespace

bool is_too_deep(std::string_view text) {
  int64_t depth = 0;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      at = string_end(text, at);
      continue;
    }
    if ((text[at] == '[' || text[at] == '{') && ++depth > kDeepestJson) return true;
    if (text[at] == ']' || text[at] == '}') --depth;
    ++at;
  }
  return false;
}

json parse_json(std::string_view text) {
  if (is_refused(text)) return json(json::value_t::discarded);
  return json::parse(text, nullptr, /*allow_exceptions=*/false);
}

ordered_json parse_ordered_json(std::string_view text) {
  if (is_refused(text)) return ordered_json(ordered_json::value_t::discarded);
  return ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

json parse_json_with_nan(std::string_view text) {
  std::string finite;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    if (text[at] == '"') {
      end = string_end(text, at);
    } else {
      while (end < text.size() && is_of_number(text[end])) ++end;
      if (end == at) ++end;
    }
    const std::string_view part = text.substr(at, end - at);
    finite += is_of_number(part[0]) && is_not_finite(part) ? "null" : part;
    at = end;
  }
  return parse_json(finite);
}

json parse_json_object(std::string_view text, const std::string& where) {
  json value = parse_json(text);
  if (value.is_object()) return value;
  refuse_depth(text, where);
  throw BadInput(where + ": expected a JSON object, found " +
                 (value.is_discarded()
                      ? "no JSON: " + json_fault(text)
                      : std::string("JSON of another kind: ") + value.type_name()));
}

json read_json(const std::filesystem::path& path) {
  const std::string text = decoded_text(read_json_text(path));
  json value = parse_json(text);
  if (value.is_discarded()) {
    refuse_depth(text, path.string());
    throw BadInput(path.string() + ": expected JSON, found none: " + json_fault(text));
  }
  return value;
}

json read_json_object(const std::filesystem::path& path) {
  return parse_json_object(decoded_text(read_json_text(path)), path.string());
}

std::string to_text(const json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

std::string to_text(const ordered_json& value, int indent) {
  return value.dump(indent, ' ', /*ensure_ascii=*/false, ordered_json::error_handler_t::replace);
}

}  // namespace data
