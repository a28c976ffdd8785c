#include "data/images/formats/completeness.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace data {
namespace {

const char* const kCut = "is cut off within its pixels";

// A place in the bytes; beyond their end numbers are 0 and `ended` says so.
struct Cursor {
  std::string_view bytes;
  uint64_t at = 0;

  bool ended() const { return at > bytes.size(); }
  uint32_t number(int count, bool big) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i, ++at) {
      const uint32_t byte = at < bytes.size() ? static_cast<uint8_t>(bytes[at]) : 0;
      value = big ? value << 8 | byte : value | byte << (8 * i);
    }
    return value;
  }
  uint32_t little(int count) { return number(count, false); }
  uint32_t big(int count) { return number(count, true); }
};

std::string cut_when(bool cut) { return cut ? kCut : ""; }

// Runs of at most 128 values, each a byte of length and the value, or the values (TGA's packets).
bool has_tga_packets(Cursor in, int64_t pixels, uint32_t width) {
  while (pixels > 0 && !in.ended()) {
    const uint32_t command = in.little(1), count = 1 + (command & 127);
    in.at += command & 128 ? width : uint64_t{count} * width;
    pixels -= count;
  }
  return pixels <= 0 && !in.ended();
}

// The lengths of the strings behind GIF's codes (GIF89a, appendix F), to count pixels.
struct GifCodes {
  explicit GifCodes(uint32_t bits) : least(bits) { clear(); }
  void clear() {
    width = least + 1;
    lengths.assign((size_t{1} << least) + 2, 1);
    previous = 0;
  }
  // How many pixels the code stands for; 0: none such.
  uint32_t take(uint32_t code) {
    if (code > lengths.size() || (code == lengths.size() && previous == 0)) return 0;
    const uint32_t length = code == lengths.size() ? previous + 1 : lengths[code];
    if (previous > 0 && lengths.size() < 4096) lengths.push_back(previous + 1);
    if (lengths.size() == size_t{1} << width && width < 12) ++width;
    previous = length;
    return length;
  }
  uint32_t least, width = 0, previous = 0;
  std::vector<uint32_t> lengths;
};

// The blocks of the first picture hold at least this many pixels, and come to an end.
bool has_gif_pixels(Cursor& in, int64_t pixels) {
  const uint32_t least = in.little(1);
  if (least < 1 || least > 11) return false;
  GifCodes codes(least);
  uint32_t bits = 0, held = 0;
  bool done = false;
  for (uint32_t block = in.little(1); block > 0 && !in.ended(); block = in.little(1)) {
    for (; block > 0 && !done; --block) {
      bits |= in.little(1) << held;
      held += 8;
      for (; held >= codes.width && !done;) {
        const uint32_t code = bits & ((1u << codes.width) - 1);
        bits >>= codes.width;
        held -= codes.width;
        if (code == 1u << least) {
          codes.clear();
          continue;
        }
        const uint32_t length = code == (1u << least) + 1 ? 0 : codes.take(code);
        pixels -= length;
        done = length == 0 || pixels <= 0;
      }
    }
    in.at += block;
  }
  return pixels <= 0 && !in.ended();
}

uint64_t color_table(uint32_t flags) { return flags & 0x80 ? uint64_t{3} << (1 + (flags & 7)) : 0; }

}  // namespace

std::string missing_of_bmp(std::string_view bytes, int64_t width, int64_t height) {
  Cursor in{bytes, 10};
  const uint64_t offset = in.little(4);
  const bool old = in.little(4) == 12;  // OS/2's header
  in.at = old ? 24 : 28;
  const uint64_t bits = in.little(2);
  const uint64_t row = (static_cast<uint64_t>(width) * bits + 31) / 32 * 4;
  // The last row's filling may be left out.
  const uint64_t last = (static_cast<uint64_t>(width) * bits + 7) / 8;
  return cut_when(offset + row * static_cast<uint64_t>(height - 1) + last > bytes.size());
}

std::string missing_of_gif(std::string_view bytes) {
  Cursor in{bytes, 10};
  in.at = 13 + color_table(in.little(1));
  for (;;) {
    const uint32_t tag = in.little(1);
    if (in.ended() || (tag != 0x21 && tag != 0x2C)) return "has no picture";
    if (tag == 0x21) {  // an extension: its label, then blocks
      ++in.at;
      for (uint32_t block = in.little(1); block > 0 && !in.ended(); block = in.little(1))
        in.at += block;
      continue;
    }
    in.at += 4;
    const int64_t width = in.little(2), height = in.little(2);
    in.at += color_table(in.little(1));
    return cut_when(!has_gif_pixels(in, width * height));
  }
}

std::string missing_of_psd(std::string_view bytes, int64_t width, int64_t height) {
  Cursor in{bytes, 12};
  const uint64_t channels = in.big(2);
  in.at = 22;
  const uint64_t depth = in.big(2);
  in.at = 26;
  for (int section = 0; section < 3; ++section) {  // colours, resources, layers
    const uint64_t length = in.big(4);
    in.at += length;
  }
  const uint64_t rows = static_cast<uint64_t>(height) * channels;
  const bool packed = in.big(2) == 1;
  if (packed) {
    uint64_t total = 0;
    for (uint64_t row = 0; row < rows && !in.ended(); ++row) total += in.big(2);
    in.at += total;
  } else {
    in.at += rows * static_cast<uint64_t>(width) * (depth / 8);
  }
  return cut_when(in.ended());
}

std::string missing_of_tga(std::string_view bytes, int64_t width, int64_t height) {
  Cursor in{bytes};
  const uint32_t name = in.little(1), palette = in.little(1), kind = in.little(1);
  const uint32_t first = in.little(2), colors = in.little(2), color_bits = in.little(1);
  in.at = 16;
  const uint32_t pixel = (in.little(1) + 7) / 8;
  in.at = 18 + name;
  if (palette) in.at += first + uint64_t{colors} * ((color_bits + 7) / 8);  // as stb_image skips
  if (kind >= 8) return cut_when(!has_tga_packets(in, width * height, pixel));
  in.at += static_cast<uint64_t>(width * height) * pixel;
  return cut_when(in.ended());
}

}  // namespace data
