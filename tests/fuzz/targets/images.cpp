// Pictures, their Exif and the texts in PNGs.

#include <ATen/ATen.h>

#include "data/images/formats/exif_orientation.hpp"
#include "data/images/formats/png_text.hpp"
#include "data/images/image_files.hpp"
#include "data/images/image_io.hpp"
#include "tests/fuzz/support.hpp"
#include "tests/fuzz/target.hpp"

namespace fuzz {
namespace {

using namespace std::string_literals;

// A picture of laurel's largest size takes seconds and gigabytes by itself (docs/reliability.md).
constexpr int64_t kMostPixels = 1 << 18;

void image(std::string_view input) {
  data::unread_kind(input);
  const data::ImageSize size = data::image_size(input, "input");
  require(size.width >= 0 && size.height >= 0, "a size is not negative");
  if (size.pixels() > kMostPixels) return;
  const at::Tensor pixels = data::decode_pixels(input, "input");
  require(pixels.dim() == 3 && pixels.size(2) == 3, "pixels are [H, W, 3]");
  require(pixels.size(0) * pixels.size(1) == size.pixels(), "the header's size is the picture's");
  touch(pixels);
}

void exif(std::string_view input) {
  const int64_t orientation = data::exif_orientation(input);
  require(orientation >= 1 && orientation <= 8, "an orientation is 1 to 8");
}

void png_text(std::string_view input) {
  attempt([&] { data::check_png_pixels(input, "input"); });
  attempt([&] {
    const std::string png = data::with_png_text(input, {{"parameters", "a \u2581 b"}}, "input");
    require(data::is_png(png), "a PNG with another text is a PNG");
  });
  data::png_text_of(input, "input");
}

}  // namespace

Targets image_targets() {
  return {
      {.name = "png",
       .run = image,
       .golden = {"images/one.png", "images/grey.png", "images/palette.png", "images/alpha.png",
                  "images/sixteen.png"},
       .words = {"IHDR", "IDAT", "PLTE", "tRNS", "IEND", "eXIf", "CgBI"}},
      {.name = "jpeg",
       .run = image,
       .golden = {"images/grey.jpg", "images/progressive.jpg", "images/cmyk.jpg",
                  "images/chroma_420.jpg", "images/turned.jpg"},
       .words = {"\xFF\xC0", "\xFF\xC2", "\xFF\xC4", "\xFF\xDA", "\xFF\xD9", "\xFF\xDB", "\xFF\xD0",
                 "\xFF\xE1", "\xFF\xEE", "Adobe"}},
      {.name = "webp",
       .run = image,
       .golden = {"images/lossy.webp", "images/lossless.webp", "images/moving.webp"},
       .words = {"VP8 ", "VP8L", "VP8X", "ANIM", "ANMF", "ALPH", "EXIF"}},
      {.name = "other_image",
       .run = image,
       .golden = {"images/moving.gif", "images/palette.bmp", "images/plain.bmp", "images/runs.tga",
                  "images/plain.tga"},
       .words = {"GIF89a", "BM", "8BPS", "\x21\xF9", "\x2C"}},
      {.name = "exif",
       .run = exif,
       .seeds = {"\xFF\xD8\xFF\xE1\0\x22"
                 "Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01"
                 "\0\0\0\x06\0\0\0\0\0\0\0\xFF\xDA"s},
       .golden = {"images/turned.jpg"},
       .words = {"Exif", "II*", "MM", "eXIf", "EXIF", "\x12\x01\x03"},
       .longest = 1024},
      {.name = "png_text",
       .run = png_text,
       .golden = {"images/one.png", "images/grey.png"},
       .words = {"tEXt", "zTXt", "iTXt", "parameters", std::string(5, '\0')},
       .longest = 1024},
  };
}

}  // namespace fuzz
