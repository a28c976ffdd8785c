#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tools {

struct StreamedImage {
  size_t index = 0;   // among the files
  at::Tensor pixels;  // [H, W, 3] uint8; undefined when it cannot be read
  std::string fault;  // then why
};

// Decodes files in threads of its own while others are worked on; hands them out in order. At most
// `ahead` decoded images wait, so that memory stays the same for any number of files.
class ImageStream {
 public:
  ImageStream(std::vector<std::filesystem::path> files, int64_t threads, int64_t ahead);
  ~ImageStream();
  ImageStream(const ImageStream&) = delete;
  ImageStream& operator=(const ImageStream&) = delete;

  std::optional<StreamedImage> next();  // nothing: all were handed out

 private:
  void decode();
  const std::vector<std::filesystem::path> files_;
  const size_t ahead_;
  std::mutex guard_;
  std::condition_variable decoded_, taken_;
  std::map<size_t, StreamedImage> ready_;
  size_t started_ = 0, handed_out_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tools
