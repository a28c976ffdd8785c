#include "data/images/formats/jpeg_decode.hpp"

#include <ATen/ATen.h>

#include <csetjmp>
#include <cstdio>

// After cstdio, which it needs and does not include.
#include <jerror.h>
#include <jpeglib.h>

#include "data/base/error.hpp"

namespace data {
namespace {

constexpr int kMaxScans = 100;
constexpr int64_t kMostPixelsAByte = 8 * 64;  // a Huffman code of one bit for a block of 8 by 8

// What libjpeg is handed: its errors leave by longjmp, so nothing here owns memory.
struct Decoder {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf stop;
  char fault[JMSG_LENGTH_MAX];
};

void stop(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  (*info->err->format_message)(info, decoder->fault);
  std::longjmp(decoder->stop, 1);
}

// libjpeg goes on after a warning, with grey where the data ended or do not fit.
void judge_warning(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE) stop(info);
}

void count_scans(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  if (decoder->info.input_scan_number <= kMaxScans) return;
  std::snprintf(decoder->fault, sizeof decoder->fault, "more than %d scans", kMaxScans);
  std::longjmp(decoder->stop, 1);
}

void begin(Decoder& decoder, std::string_view bytes) {
  decoder.info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = stop;
  decoder.errors.emit_message = judge_warning;
  decoder.info.client_data = &decoder;
  jpeg_create_decompress(&decoder.info);
  decoder.progress = {};
  decoder.progress.progress_monitor = count_scans;
  decoder.info.progress = &decoder.progress;
  jpeg_mem_src(&decoder.info, reinterpret_cast<const unsigned char*>(bytes.data()),
               static_cast<unsigned long>(bytes.size()));
  jpeg_read_header(&decoder.info, TRUE);
}

// Calls `act`, which must own nothing, and frees what libjpeg holds. Returns the fault, "" for
// none.
template <class Act>
std::string guarded(Decoder& decoder, const Act& act) {
  decoder.fault[0] = '\0';
  if (setjmp(decoder.stop) == 0) act();
  jpeg_destroy_decompress(&decoder.info);
  return decoder.fault;
}

[[noreturn]] void unreadable_jpeg(const std::string& source, const std::string& fault) {
  throw BadInput(source + ": not a readable image: a JPEG that is cut off or damaged (" + fault +
                 "); copy it again");
}

// row: [W, 4] inverted cyan, magenta, yellow and black -> [W, 3], with Pillow's rounding
void rgb_of_cmyk(const uint8_t* row, int64_t width, uint8_t* rgb) {
  for (int64_t x = 0; x < width; ++x, row += 4) {
    const int light = row[3];  // 255 - black
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - row[c]) * light + 128;
      *rgb++ = static_cast<uint8_t>(light - ((product >> 8) + product) / 256);
    }
  }
}

}  // namespace

bool is_jpeg(std::string_view bytes) { return bytes.starts_with("\xFF\xD8\xFF"); }

ImageSize jpeg_size(std::string_view bytes, const std::string& source) {
  Decoder decoder{};
  ImageSize size;
  bool short_of_data = false;
  const std::string fault = guarded(decoder, [&] {
    begin(decoder, bytes);
    size = {decoder.info.image_width, decoder.info.image_height};
    short_of_data = !decoder.info.arith_code &&
                    static_cast<int64_t>(bytes.size()) * kMostPixelsAByte < size.pixels();
  });
  if (!fault.empty()) unreadable_jpeg(source, fault);
  if (short_of_data) unreadable_jpeg(source, "too short for its size");
  return size;
}

at::Tensor decode_jpeg(std::string_view bytes, const std::string& source) {
  const ImageSize size = jpeg_size(bytes, source);
  const at::Tensor pixels = at::empty({size.height, size.width, 3}, at::kByte);
  const at::Tensor line = at::empty({size.width, 4}, at::kByte);
  auto *const out = pixels.data_ptr<uint8_t>(), *const cmyk = line.data_ptr<uint8_t>();
  Decoder decoder{};
  const std::string fault = guarded(decoder, [&] {
    begin(decoder, bytes);
    const bool four = decoder.info.num_components == 4;
    decoder.info.out_color_space = four ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&decoder.info);
    while (decoder.info.output_scanline < decoder.info.output_height) {
      uint8_t* const rgb = out + int64_t{decoder.info.output_scanline} * size.width * 3;
      JSAMPROW row = four ? cmyk : rgb;
      jpeg_read_scanlines(&decoder.info, &row, 1);
      if (four) rgb_of_cmyk(cmyk, size.width, rgb);
    }
    jpeg_finish_decompress(&decoder.info);
  });
  if (!fault.empty()) unreadable_jpeg(source, fault);
  return pixels;
}

}  // namespace data
