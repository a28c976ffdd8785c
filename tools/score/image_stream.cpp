#include "tools/score/image_stream.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"

namespace tools {

OpenedImage open_image(const std::filesystem::path& path) {
  const std::string bytes = data::read_file(path);
  OpenedImage opened{.pixels = data::decode_pixels(bytes, path.string()), .text = {}};
  if (path.extension() != ".png") return opened;
  try {
    opened.text = data::png_text_of(bytes, path.string());
  } catch (const data::BadInput&) {
    // the pixels are readable: the image is scored without a prompt from its text
  }
  return opened;
}

ImageStream::ImageStream(std::vector<std::filesystem::path> files, int64_t threads, int64_t ahead)
    : files_(std::move(files)), ahead_(static_cast<size_t>(std::max<int64_t>(1, ahead))) {
  for (int64_t i = 0; i < std::max<int64_t>(1, threads); ++i)
    threads_.emplace_back([this] { decode(); });
}

ImageStream::~ImageStream() {
  {
    const std::lock_guard lock(guard_);
    stopped_ = true;
  }
  taken_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ImageStream::decode() {
  std::unique_lock lock(guard_);
  for (;;) {
    taken_.wait(lock, [&] { return stopped_ || started_ < handed_out_ + ahead_; });
    if (stopped_ || started_ == files_.size()) return;
    StreamedImage streamed{.index = started_++};
    lock.unlock();
    try {
      streamed.image = open_image(files_[streamed.index]);
    } catch (const std::exception& error) {
      streamed.fault = error.what();
    }
    lock.lock();
    ready_.emplace(streamed.index, std::move(streamed));
    decoded_.notify_one();
  }
}

std::optional<StreamedImage> ImageStream::next() {
  std::unique_lock lock(guard_);
  if (handed_out_ == files_.size()) return {};
  decoded_.wait(lock, [&] { return ready_.contains(handed_out_); });
  auto found = ready_.extract(handed_out_);
  ++handed_out_;
  taken_.notify_all();
  return std::move(found.mapped());
}

}  // namespace tools
