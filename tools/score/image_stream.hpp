#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "data/images/formats/png_text.hpp"

namespace tools {

struct OpenedImage {
  at::Tensor pixels;         // [H, W, 3] uint8
  data::PngText text;        // of a PNG; empty where it is damaged
  std::string text_fault{};  // then why
};
// Of a file's bytes; `source` names it. Throws BadInput when it cannot be decoded.
OpenedImage open_image(std::string_view bytes, const std::string& source);

struct StreamedImage {
  size_t index = 0;     // among the files
  OpenedImage image{};  // without pixels where it cannot be read
  std::string fault{};  // then why
  int64_t size = 0;     // pixels
};

// Decodes files in threads of its own while others are scored, and returns them in order. At most
// `ahead` images, and 2^27 pixels unless it is one image, are decoded or wait; the image handed out
// last counts among the pixels until the next is asked for. So memory does not grow with the number
// of files.
class ImageStream {
 public:
  ImageStream(std::vector<std::filesystem::path> files, int64_t threads, int64_t ahead);
  ~ImageStream();
  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;

  std::optional<StreamedImage> next();  // nothing: all were returned

 private:
  void decode();
  // The file's bytes; the size or the fault goes into `streamed`.
  std::string read(StreamedImage& streamed) const;
  // Waits for the image's turn and for room; false: stopped.
  bool admit(const StreamedImage& streamed);
  const std::vector<std::filesystem::path> files_;
  const size_t ahead_;
  std::mutex guard_;
  std::condition_variable decoded_, taken_;
  std::map<size_t, StreamedImage> ready_;
  size_t started_ = 0, admitted_ = 0, handed_out_ = 0;
  int64_t pixels_ = 0;   // being decoded, waiting, or of the image handed out last
  int64_t in_hand_ = 0;  // of that one
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tools
