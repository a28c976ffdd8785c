#include "data/images/formats/exif_orientation.hpp"

#include <ATen/ATen.h>

namespace data {
namespace {

constexpr uint32_t kOrientation = 0x0112, kShort = 3, kLong = 4;

// Numbers of either byte order; 0 beyond the end.
struct Reader {
  std::string_view bytes;
  bool big = true;
  uint32_t number(size_t at, size_t count) const {
    if (at > bytes.size() || bytes.size() - at < count) return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t place = big ? at + i : at + count - 1 - i;
      value = value << 8 | static_cast<uint8_t>(bytes[place]);
    }
    return value;
  }
};

// tiff: the block that begins with "II*" or "MM*" (TIFF 6.0, section 2).
int64_t orientation_of_tiff(std::string_view tiff) {
  const Reader in{tiff, tiff.starts_with("MM")};
  if (!tiff.starts_with("MM") && !tiff.starts_with("II")) return 1;
  const size_t directory = in.number(4, 4), entries = in.number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    const uint32_t type = in.number(entry + 2, 2);
    if (in.number(entry, 2) != kOrientation || (type != kShort && type != kLong)) continue;
    const uint32_t value = in.number(entry + 8, type == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

std::string_view without_exif_mark(std::string_view block) {
  return block.starts_with(std::string_view("Exif\0\0", 6)) ? block.substr(6) : block;
}

// The block of a JPEG's APP1 segment; "": none before the picture.
std::string_view exif_of_jpeg(std::string_view bytes) {
  const Reader in{bytes};
  for (size_t at = 2; at + 4 <= bytes.size() && bytes[at] == '\xFF';) {
    if (bytes[at + 1] == '\xFF') {  // filling before a marker
      ++at;
      continue;
    }
    const size_t length = in.number(at + 2, 2);
    if (bytes[at + 1] == '\xDA' || length < 2) break;
    const std::string_view segment = bytes.substr(at + 4, length - 2);
    if (bytes[at + 1] == '\xE1' && segment.starts_with("Exif")) return segment;
    at += 2 + length;
  }
  return {};
}

std::string_view exif_of_png(std::string_view bytes) {
  const Reader in{bytes};
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = in.number(at, 4);
    if (bytes.substr(at + 4, 4) == "eXIf") return bytes.substr(at + 8, length);
    at += 12 + length;
  }
  return {};
}

std::string_view exif_of_webp(std::string_view bytes) {
  const Reader in{bytes, /*big=*/false};
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = in.number(at + 4, 4);
    if (bytes.substr(at, 4) == "EXIF") return bytes.substr(at + 8, length);
    at += 8 + length + length % 2;
  }
  return {};
}

}  // namespace

int64_t exif_orientation(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xD8"))
    return orientation_of_tiff(without_exif_mark(exif_of_jpeg(bytes)));
  if (bytes.starts_with("\x89PNG"))
    return orientation_of_tiff(without_exif_mark(exif_of_png(bytes)));
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP"))
    return orientation_of_tiff(without_exif_mark(exif_of_webp(bytes)));
  return 1;
}

at::Tensor upright(const at::Tensor& image, int64_t orientation) {
  const bool turned = orientation >= 5;
  at::Tensor result = turned ? image.transpose(1, 2) : image;
  // After the exchange of axes: whether columns and rows run backwards.
  const bool columns = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool rows = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  if (columns) result = result.flip(2);
  if (rows) result = result.flip(1);
  return result.contiguous();
}

}  // namespace data
