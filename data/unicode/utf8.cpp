#include "data/unicode/utf8.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace data {
namespace {

struct Character {
  uint32_t code = 0;
  size_t length = 0;  // bytes; 0: malformed
};

size_t sequence_length(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 0;
}

// The character at the start of `bytes` (Unicode 15, table 3-7).
Character decode(std::string_view bytes) {
  const auto lead = static_cast<uint8_t>(bytes[0]);
  const size_t length = sequence_length(lead);
  if (length == 0 || bytes.size() < length) return {};
  uint32_t code = length == 1 ? lead : lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<uint8_t>(bytes[i]);
    if ((next & 0xC0) != 0x80) return {};
    code = code << 6 | (next & 0x3Fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  if (overlong || surrogate || code > 0x10FFFF) return {};
  return {.code = code, .length = length};
}

bool turns_or_controls(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E ||
         code == 0x200F || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Character character = decode(bytes);
    if (character.length == 0) return false;
    bytes.remove_prefix(character.length);
  }
  return true;
}

std::optional<std::string> to_latin1(std::string_view utf8) {
  std::string latin1;
  while (!utf8.empty()) {
    const Character character = decode(utf8);
    if (character.length == 0 || character.code > 0xFF) return std::nullopt;
    latin1.push_back(static_cast<char>(character.code));
    utf8.remove_prefix(character.length);
  }
  return latin1;
}

std::string from_latin1(std::string_view latin1) {
  std::string utf8;
  for (const char byte : latin1) {
    const auto code = static_cast<uint8_t>(byte);
    if (code < 0x80) {
      utf8.push_back(byte);
    } else {
      utf8.push_back(static_cast<char>(0xC0 | code >> 6));
      utf8.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
  }
  return utf8;
}

std::string printable(std::string_view text, std::string_view keep) {
  std::string result;
  char escape[8];
  while (!text.empty()) {
    const Character character = decode(text);
    const size_t length = std::max<size_t>(1, character.length);
    if (character.length == 0) {
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(text[0]));
      result += escape;
    } else if (turns_or_controls(character.code) && keep.find(text[0]) == std::string_view::npos) {
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(character.code));
      result += escape;
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string shortened(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "..";
}

}  // namespace data
