#include "tools/score/image_stream.hpp"

#include <ATen/ATen.h>
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/images/image_io.hpp"

namespace tools {
namespace {

constexpr int64_t kMostPixels = int64_t{1} << 27;  // of images that are not scored yet

constexpr int64_t kManyPixels = int64_t{1} << 24;  // of one image, hundreds of megabytes on its way

// Gives the pages of freed blocks back, which data::keep_freed_memory keeps: the blocks of a few
// large images would otherwise lie side by side.
void return_freed_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace

OpenedImage open_image(std::string_view bytes, const std::string& source) {
  OpenedImage opened{.pixels = data::decode_pixels(bytes, source), .text = {}};
  if (!data::is_png(bytes)) return opened;
  try {
    opened.text = data::png_text_of(bytes, source);
  } catch (const data::BadInput& error) {
    opened.text_fault = error.what();  // the pixels are readable
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

std::string ImageStream::read(StreamedImage& streamed) const {
  const std::filesystem::path& file = files_[streamed.index];
  try {
    std::string bytes = data::read_file(file);
    streamed.size = data::image_size(bytes, file.string()).pixels();
    return bytes;
  } catch (const std::exception& error) {
    streamed.fault = error.what();
    return "";
  }
}

bool ImageStream::admit(const StreamedImage& streamed) {
  std::unique_lock lock(guard_);
  taken_.wait(lock, [&] {
    const bool fits = pixels_ == 0 || pixels_ + streamed.size <= kMostPixels;
    return stopped_ || (admitted_ == streamed.index && fits);
  });
  ++admitted_;
  pixels_ += streamed.size;
  taken_.notify_all();
  return !stopped_;
}

void ImageStream::decode() {
  for (;;) {
    StreamedImage streamed;
    {
      std::unique_lock lock(guard_);
      taken_.wait(lock, [&] { return stopped_ || started_ < handed_out_ + ahead_; });
      if (stopped_ || started_ == files_.size()) return;
      streamed.index = started_++;
    }
    const std::string bytes = read(streamed);
    if (!admit(streamed)) return;
    try {
      if (streamed.fault.empty())
        streamed.image = open_image(bytes, files_[streamed.index].string());
    } catch (const std::exception& error) {
      streamed.fault = error.what();
    }
    const std::lock_guard lock(guard_);
    ready_.emplace(streamed.index, std::move(streamed));
    decoded_.notify_one();
  }
}

std::optional<StreamedImage> ImageStream::next() {
  if (in_hand_ > kManyPixels) return_freed_memory();  // before the next of them is decoded
  std::unique_lock lock(guard_);
  pixels_ -= std::exchange(in_hand_, 0);
  taken_.notify_all();
  if (handed_out_ == files_.size()) return {};
  decoded_.wait(lock, [&] { return ready_.contains(handed_out_); });
  auto found = ready_.extract(handed_out_);
  ++handed_out_;
  in_hand_ = found.mapped().size;
  taken_.notify_all();
  return std::move(found.mapped());
}

}  // namespace tools
