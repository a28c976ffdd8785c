#pragma once

// Numbers in texts that others wrote.

#include <charconv>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "data/base/error.hpp"
#include "data/unicode/utf8.hpp"

namespace data {

// The number that is all of `text` ("12", "-0.5", "1e-3"); none for anything else: "", " 1", "+1",
// "1x", or a number beyond T.
template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

// The number that `text` begins with ("12.weight"); none where it begins with none.
template <class T>
std::optional<T> leading_number(std::string_view text) {
  T value{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

// The number under `key` of a saved state's notes. Throws BadInput naming `where` and the key when
// there is none.
template <class T>
T noted_number(const std::map<std::string, std::string>& notes,
               const std::string& key,
               const std::string& where) {
  const auto found = notes.find(key);
  const auto number = found == notes.end() ? std::nullopt : number_of<T>(found->second);
  if (number) return *number;
  throw BadInput(where + ": " + key + ": expected a number, found " +
                 (found == notes.end() ? "none" : "'" + shortened(found->second, 40) + "'") +
                 "; the file is damaged or from another version: use an older one");
}

}  // namespace data
