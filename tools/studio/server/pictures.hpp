#pragma once

// Pictures as the page gets them: under names that tell nothing, without the text and Exif data of
// their files.

#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace studio {

// 128 random bits as 32 hexadecimal digits.
std::string random_name();

struct EncodedPicture {
  std::string type;  // "image/png"
  std::string bytes;
};

// From any thread.
class Pictures {
 public:
  // The random name of a file, the same at each call.
  std::string name_of(const std::filesystem::path& file);

  // The pixels anew, as PNG up to 512 pixels a side, as JPEG beyond, at most 1600; null for a name
  // that name_of never gave. The last ones stay in memory, up to 64 MB. Throws BadInput for a file
  // that cannot be read.
  std::shared_ptr<const EncodedPicture> encoded(const std::string& name);

 private:
  struct Kept {
    std::shared_ptr<const EncodedPicture> picture;
    std::list<std::string>::iterator used;
  };
  void keep(const std::string& name, const std::shared_ptr<const EncodedPicture>& picture);

  std::mutex mutex_;
  std::unordered_map<std::string, std::string> names_;  // by file
  std::unordered_map<std::string, std::filesystem::path> files_;
  std::list<std::string> used_;  // names, the latest first
  std::unordered_map<std::string, Kept> kept_;
  size_t bytes_ = 0;
};

}  // namespace studio
