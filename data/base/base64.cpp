#include "data/base/base64.hpp"

#include <charconv>
#include <cstdint>

#include "data/base/error.hpp"

namespace data {

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  const auto byte = [&](size_t i) -> uint32_t {
    return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0;
  };
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const uint32_t three = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) text += kDigits[three >> shift & 63];
  }
  const size_t missing = (3 - bytes.size() % 3) % 3;
  return text.replace(text.size() - missing, missing, missing, '=');
}

std::string from_base64(const std::string& text) {
  std::string bytes;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) throw BadInput("base64: unexpected character");
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xff);
  }
  return bytes;
}

std::string from_hex(std::string_view text) {
  std::string bytes(text.size() / 2, '\0');
  for (size_t k = 0; k < bytes.size(); ++k) {
    const char* pair = text.data() + 2 * k;
    uint8_t byte = 0;
    if (std::from_chars(pair, pair + 2, byte, 16).ptr != pair + 2)
      throw BadInput("hexadecimal digits: unexpected character");
    bytes[k] = static_cast<char>(byte);
  }
  if (text.size() % 2 != 0)
    throw BadInput("hexadecimal digits: expected pairs, found an odd number");
  return bytes;
}

}  // namespace data
