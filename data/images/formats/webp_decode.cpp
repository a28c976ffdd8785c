#include "data/images/formats/webp_decode.hpp"

#include <ATen/ATen.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "data/base/error.hpp"

namespace data {
namespace {

[[noreturn]] void unreadable(const std::string& source) {
  throw BadInput(source +
                 ": not a readable image: a WebP that is cut off or damaged; copy it again");
}

const uint8_t* webp_bytes(std::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

WebPBitstreamFeatures features(std::string_view bytes, const std::string& source) {
  WebPBitstreamFeatures found;
  if (WebPGetFeatures(webp_bytes(bytes), bytes.size(), &found) != VP8_STATUS_OK) unreadable(source);
  return found;
}

// -> [H, W, 3] uint8
at::Tensor first_of_animation(std::string_view bytes, const std::string& source) {
  const WebPData data{webp_bytes(bytes), bytes.size()};
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);  // RGBA, one thread
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(
      WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  WebPAnimInfo canvas;
  uint8_t* rgba = nullptr;
  int milliseconds = 0;
  if (!decoder || !WebPAnimDecoderGetInfo(decoder.get(), &canvas) ||
      !WebPAnimDecoderGetNext(decoder.get(), &rgba, &milliseconds))
    unreadable(source);
  return at::from_blob(rgba, {canvas.canvas_height, canvas.canvas_width, 4}, at::kByte)
      .narrow(2, 0, 3)
      .contiguous();
}

}  // namespace

bool is_webp(std::string_view bytes) {
  return bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP");
}

ImageSize webp_size(std::string_view bytes, const std::string& source) {
  const WebPBitstreamFeatures found = features(bytes, source);
  return {found.width, found.height};
}

at::Tensor decode_webp(std::string_view bytes, const std::string& source) {
  const WebPBitstreamFeatures found = features(bytes, source);
  if (found.has_animation) return first_of_animation(bytes, source);
  at::Tensor pixels = at::empty({found.height, found.width, 3}, at::kByte);
  if (!WebPDecodeRGBInto(webp_bytes(bytes), bytes.size(), pixels.data_ptr<uint8_t>(),
                         pixels.nbytes(), 3 * found.width))
    unreadable(source);
  return pixels;
}

}  // namespace data
