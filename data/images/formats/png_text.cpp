#include "data/images/formats/png_text.hpp"

#include <ATen/ATen.h>
#include <stb_image.h>

#include <array>
#include <cstdint>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/unicode/utf8.hpp"

namespace data {
namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kFrame = 12;      // a chunk's length, type and checksum
constexpr int kMaxText = 8 << 20;  // bytes of all text of a PNG, inflated

struct Chunk {
  std::string_view type;   // 4 letters
  std::string_view data;   // its content
  std::string_view whole;  // with length, type and checksum
};

// CRC-32 of PNG's annex D, polynomial 0xEDB88320.
uint32_t checksum(std::string_view bytes) {
  static const auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t n = 0; n < 256; ++n) {
      uint32_t c = n;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      table[n] = c;
    }
    return table;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes)
    crc = kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

uint32_t big_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<char>(value >> shift & 0xFF));
  return bytes;
}

// Up to the PNG's end; what a longer file has after it is passed over.
std::vector<Chunk> chunks_of(std::string_view png, const std::string& source) {
  if (!is_png(png)) throw BadInput(source + ": expected a PNG file, found other bytes");
  std::vector<Chunk> chunks;
  size_t at = kSignature.size();
  while (at < png.size()) {
    const size_t left = png.size() - at;
    const size_t length = left < kFrame ? 0 : big_endian(png.substr(at));
    if (left < kFrame || length > left - kFrame) {
      throw BadInput(source + ": truncated PNG: a chunk at byte " + std::to_string(at) +
                     " ends outside the file");
    }
    chunks.push_back({.type = png.substr(at + 4, 4),
                      .data = png.substr(at + 8, length),
                      .whole = png.substr(at, length + kFrame)});
    at += length + kFrame;
    if (chunks.back().type == "IEND") break;
  }
  return chunks;
}

void check_sum(const Chunk& chunk, const std::string& source) {
  if (checksum(chunk.whole.substr(4, chunk.data.size() + 4)) ==
      big_endian(chunk.whole.substr(chunk.data.size() + 8)))
    return;
  throw BadInput(source + ": a " + std::string(chunk.type) +
                 " chunk has a wrong checksum; the file is damaged");
}

bool is_text(const Chunk& chunk) {
  return chunk.type == "tEXt" || chunk.type == "zTXt" || chunk.type == "iTXt";
}

std::string keyword_of(const Chunk& chunk) {
  return from_latin1(chunk.data.substr(0, chunk.data.find('\0')));
}

std::string chunk_bytes(const std::string& type, const std::string& content) {
  const std::string body = type + content;
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(checksum(body));
}

std::string text_chunk(const std::string& keyword, const std::string& text) {
  TORCH_CHECK(!keyword.empty() && keyword.size() < 80,
              "with_png_text: keyword must have 1 to 79 bytes: ", keyword);
  const std::string zero(1, '\0');
  const auto latin1 = to_latin1(text);
  if (latin1 && !keyword.starts_with("XML:")) return chunk_bytes("tEXt", keyword + zero + *latin1);
  // Keyword, compression flag and method, language tag, translated keyword (both empty).
  return chunk_bytes("iTXt", keyword + zero + std::string(4, '\0') + text);
}

[[noreturn]] void too_long(const std::string& source) {
  throw BadInput(source + ": its text chunks hold more than " + std::to_string(kMaxText >> 20) +
                 " MB, which is no prompt");
}

// Whether stb's inflater stopped because the buffer was full.
bool outgrew(std::string_view reason) { return reason == "output buffer limit"; }

std::string inflated(std::string_view bytes, const std::string& source) {
  // A kilobyte may hold a megabyte of one letter; the buffer grows to what a chunk may hold.
  for (int size = 1 << 16; size <= kMaxText; size *= 2) {
    std::string text(static_cast<size_t>(size), '\0');
    const int length =
        stbi_zlib_decode_buffer(text.data(), size, bytes.data(), static_cast<int>(bytes.size()));
    if (length >= 0) return text.substr(0, static_cast<size_t>(length));
    if (!outgrew(stbi_failure_reason()))
      throw BadInput(source + ": a compressed text chunk is damaged");
  }
  too_long(source);
}

// The part after the next zero byte, which must be there.
std::string_view after_zero(std::string_view bytes, const std::string& source) {
  const size_t zero = bytes.find('\0');
  if (zero == std::string_view::npos)
    throw BadInput(source + ": a text chunk is damaged (no end of its keyword)");
  return bytes.substr(zero + 1);
}

std::string text_of(const Chunk& chunk, const std::string& source) {
  std::string_view rest = after_zero(chunk.data, source);
  if (chunk.type == "tEXt") return from_latin1(rest);
  if (rest.size() < (chunk.type == "zTXt" ? 1u : 2u))
    throw BadInput(source + ": a text chunk is damaged (too short)");
  if (chunk.type == "zTXt") return from_latin1(inflated(rest.substr(1), source));
  const bool compressed = rest[0] != 0;
  rest = after_zero(after_zero(rest.substr(2), source), source);
  return compressed ? inflated(rest, source) : std::string(rest);
}

}  // namespace

bool is_png(std::string_view bytes) { return bytes.starts_with(kSignature); }

std::string without_empty_data(std::string_view png, const std::string& source) {
  std::string kept(png.substr(0, 8));
  for (const auto& chunk : chunks_of(png, source)) {
    if (chunk.type != "IDAT" || !chunk.data.empty()) kept += chunk.whole;
  }
  return kept;
}

void check_png_pixels(std::string_view png, const std::string& source) {
  for (const Chunk& chunk : chunks_of(png, source)) {
    if (chunk.type == "IHDR" || chunk.type == "PLTE" || chunk.type == "IDAT")
      check_sum(chunk, source);
  }
}

std::string with_png_text(std::string_view png, const PngText& text, const std::string& source) {
  std::string result(kSignature);
  const auto chunks = chunks_of(png, source);
  for (const Chunk& chunk : chunks) {
    if (is_text(chunk) && text.contains(keyword_of(chunk))) continue;
    result += chunk.whole;
    if (chunk.type != "IHDR") continue;
    for (const auto& [keyword, value] : text) result += text_chunk(keyword, value);
  }
  const char* const end = chunks.empty() ? png.data() : chunks.back().whole.end();
  return result.append(end, png.end());
}

PngText png_text_of(std::string_view png, const std::string& source) {
  PngText text;
  size_t total = 0;
  for (const Chunk& chunk : chunks_of(png, source)) {
    if (!is_text(chunk)) continue;
    check_sum(chunk, source);
    const std::string value = text_of(chunk, source);
    total += value.size();
    if (total > kMaxText) too_long(source);
    text[keyword_of(chunk)] = value;
  }
  return text;
}

PngText read_png_text(const std::filesystem::path& path) {
  return png_text_of(read_file(path), path.string());
}

void update_png_text(const std::filesystem::path& path, const PngText& text) {
  write_file(path, with_png_text(read_file(path), text, path.string()));
}

}  // namespace data
