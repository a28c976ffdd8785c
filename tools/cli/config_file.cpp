#include "tools/cli/config_file.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/encoding.hpp"
#include "data/unicode/utf8.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr size_t kLargest = size_t{1} << 20;  // bytes
constexpr int64_t kMostDots = 100;            // of a key; toml++ makes a table of each part

bool is_of_key(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("_-.'\" \t").find(c) != std::string_view::npos;
}

bool has_deep_key(std::string_view text) {
  int64_t dots = 0;
  for (const char c : text) {
    dots = is_of_key(c) ? dots + (c == '.') : 0;
    if (dots > kMostDots) return true;
  }
  return false;
}

std::string read_source(const std::filesystem::path& path) {
  const std::string bytes = data::read_file(path);
  if (bytes.size() > kLargest)
    throw BadInput(path.string() + ": expected a file of settings (TOML) of at most 1 MiB, found " +
                   std::to_string(bytes.size() >> 20) + " MiB; check the path");
  const std::string text = data::decoded_text(bytes);
  if (const std::string fault = data::text_fault(text); !fault.empty())
    throw BadInput(path.string() + ": " + fault);
  if (has_deep_key(text))
    throw BadInput(path.string() + ": expected keys of at most " + std::to_string(kMostDots) +
                   " parts, found one of more");
  return text;
}

// The line of that number, from 1; "" behind the end.
std::string line_of(const std::string& text, int64_t number) {
  std::istringstream lines(text);
  std::string line;
  while (number-- > 0 && std::getline(lines, line)) {
  }
  return lines ? data::trimmed(line) : "";
}

toml::table parse(const std::string& text, const std::filesystem::path& path) {
  try {
    return toml::parse(text, path.string());
  } catch (const toml::parse_error& error) {
    const auto number = static_cast<int64_t>(error.source().begin.line);
    const std::string line = line_of(text, number);
    throw BadInput(path.string() + ":" + std::to_string(number) +
                   ": expected KEY = VALUE as TOML has it (texts in quotes, a key once), found " +
                   (line.empty() ? "the end of the text" : "'" + data::shortened(line, 80) + "'") +
                   "; correct the line");
  }
}

std::vector<std::string> words_of(const toml::node& node, const std::string& where) {
  if (const auto* text = node.as_string()) return {text->get()};
  if (const auto* integer = node.as_integer()) return {std::to_string(integer->get())};
  if (const auto* number = node.as_floating_point()) return {toml_number(number->get())};
  if (const auto* flag = node.as_boolean()) return {flag->get() ? "true" : "false"};
  if (const auto* array = node.as_array()) {
    std::vector<std::string> words;
    for (const auto& element : *array) {
      const auto inner = words_of(element, where);
      words.insert(words.end(), inner.begin(), inner.end());
    }
    return words;
  }
  throw BadInput(where + ": expected a text, a number, true, false or an array of them");
}

}  // namespace

std::vector<ConfigEntry> read_config_file(const std::filesystem::path& path) {
  std::vector<ConfigEntry> entries;
  for (const auto& [key, node] : parse(read_source(path), path)) {
    ConfigEntry entry{.key = std::string(key.str()), .where = {}, .words = {}};
    entry.where = path.string() + ":" + std::to_string(node.source().begin.line) + ": " + entry.key;
    entry.words = words_of(node, entry.where);
    entry.is_array = node.is_array();
    entry.is_text = node.is_string();
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string toml_text(const std::string& value) {
  std::ostringstream out;
  out << toml::value<std::string>(value);
  return out.str();
}

std::string toml_number(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

}  // namespace tools
