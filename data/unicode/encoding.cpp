#include "data/unicode/encoding.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "data/unicode/characters.hpp"
#include "data/unicode/utf8.hpp"

namespace data {
namespace {

// RFC 2781; half of a surrogate pair becomes U+FFFD.
std::string from_utf16(std::string_view bytes, bool big) {
  const auto unit = [&](size_t i) {
    const auto first = static_cast<uint8_t>(bytes[i]), second = static_cast<uint8_t>(bytes[i + 1]);
    return static_cast<char32_t>(big ? first << 8 | second : second << 8 | first);
  };
  std::u32string text;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const char32_t high = unit(i);
    if (high < 0xD800 || high >= 0xE000) {
      text += high;
      continue;
    }
    const char32_t low = i + 3 < bytes.size() ? unit(i + 2) : 0;
    const bool pair = high < 0xDC00 && low >= 0xDC00 && low < 0xE000;
    text += pair ? 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00) : U'\uFFFD';
    if (pair) i += 2;
  }
  return encode_utf8(text);
}

}  // namespace

std::string decoded_text(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) return std::string(bytes.substr(3));
  if (bytes.starts_with("\xFF\xFE")) return from_utf16(bytes.substr(2), false);
  if (bytes.starts_with("\xFE\xFF")) return from_utf16(bytes.substr(2), true);
  return std::string(bytes);
}

std::string text_fault(std::string_view text) {
  if (text.find('\0') != text.npos)
    return "expected UTF-8 text, found a NUL (UTF-16 without its mark, or no text); save it as "
           "UTF-8";
  size_t at = 0;
  while (at < text.size() && is_utf8(text.substr(at, 1))) ++at;
  while (at < text.size()) {
    size_t length = 1;  // of the character here
    while (length <= 4 && !is_utf8(text.substr(at, length))) ++length;
    if (length > 4) break;
    at += length;
  }
  if (at >= text.size()) return "";
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<uint8_t>(text[at]));
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(at), '\n');
  return std::string("expected UTF-8 text, found byte ") + byte + " on line " +
         std::to_string(line) +
         " (Windows-1252 or Latin-1?); convert it: iconv -f WINDOWS-1252 -t UTF-8";
}

}  // namespace data
