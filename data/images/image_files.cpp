#include "data/images/image_files.hpp"

#include <glob.h>

#include <algorithm>
#include <cctype>
#include <type_traits>
#include <vector>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

// A kind of picture that read_image does not read.
struct UnreadKind {
  const char* name;
  std::vector<std::string> endings;
  bool (*is)(std::string_view bytes);
};
bool has_brand(std::string_view bytes, std::initializer_list<std::string_view> brands) {
  const auto at = [&](size_t begin) { return bytes.substr(std::min(begin, bytes.size()), 4); };
  return at(4) == "ftyp" && std::find(brands.begin(), brands.end(), at(8)) != brands.end();
}
const std::vector<UnreadKind>& unread_kinds() {
  static const std::vector<UnreadKind> kinds = {
      {"HEIC",
       {".heic", ".heif"},
       [](auto bytes) {
         return has_brand(bytes, {"heic", "heix", "hevc", "mif1", "msf1"});
       }},
      {"AVIF",
       {".avif"},
       [](auto bytes) {
         return has_brand(bytes, {"avif", "avis"});
       }},
      {"TIFF",
       {".tif", ".tiff"},
       [](auto bytes) {
         return bytes.starts_with(std::string_view("II*\0", 4)) ||
                bytes.starts_with(std::string_view("MM\0*", 4));
       }},
      {"JPEG XL",
       {".jxl"},
       [](auto bytes) {
         return bytes.starts_with("\xff\x0a") ||
                bytes.starts_with(std::string_view("\0\0\0\x0cJXL ", 8));
       }},
      {"JPEG 2000",
       {".jp2"},
       [](auto bytes) { return bytes.starts_with(std::string_view("\0\0\0\x0cjP  ", 8)); }},
  };
  return kinds;
}

template <class Iterator>
std::vector<fs::path> images_of(Iterator entries) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto end = Iterator(); entries != end; entries.increment(error)) {
    const fs::path& path = entries->path();
    if constexpr (std::is_same_v<Iterator, fs::recursive_directory_iterator>) {
      if (path.filename().string().starts_with(".")) entries.disable_recursion_pending();
    }
    if (entries->is_regular_file(error) && is_image_name(path)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<fs::path> images_in(const fs::path& folder, Folders folders) {
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  return folders == Folders::kRecursive
             ? images_of(fs::recursive_directory_iterator(folder, options, error))
             : images_of(fs::directory_iterator(folder, options, error));
}

// For the message about a folder without images.
std::string inner_images(const fs::path& folder) {
  const bool some = !images_in(folder, Folders::kRecursive).empty();
  return some ? "; folders inside it hold some: give those, or --recursive where a command has it"
              : "";
}

std::vector<fs::path> matches_of(const std::string& pattern) {
  glob_t found{};
  std::vector<fs::path> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      const fs::path path = found.gl_pathv[i];
      if (!fs::is_directory(path) && is_image_name(path)) paths.push_back(path);
    }
  }
  ::globfree(&found);
  return paths;
}

}  // namespace

bool is_image_name(const fs::path& path) {
  static const char* const kEndings[] = {".png", ".jpg", ".jpeg", ".webp",
                                         ".bmp", ".gif", ".tga",  ".psd"};
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (path.filename().string().starts_with(".")) return false;
  const auto& unread = unread_kinds();
  return std::find(std::begin(kEndings), std::end(kEndings), ending) != std::end(kEndings) ||
         std::any_of(unread.begin(), unread.end(), [&](const UnreadKind& kind) {
           return std::find(kind.endings.begin(), kind.endings.end(), ending) != kind.endings.end();
         });
}

std::string unread_kind(std::string_view bytes) {
  for (const auto& kind : unread_kinds()) {
    if (kind.is(bytes)) return kind.name;
  }
  return "";
}

std::vector<fs::path> list_images(const std::string& file_folder_or_glob, Folders folders) {
  const fs::path path = file_folder_or_glob;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  const bool folder = fs::is_directory(path, error);
  const auto paths = folder ? images_in(path, folders) : matches_of(file_folder_or_glob);
  if (!paths.empty()) return paths;
  if (folder)
    throw BadInput(path.string() + ": no images in this folder: expected " + kImageKinds +
                   " files" + (folders == Folders::kFlat ? inner_images(path) : ""));
  const bool pattern = file_folder_or_glob.find_first_of("*?[") != std::string::npos;
  throw BadInput(path.string() +
                 (pattern ? ": no image matches this pattern" : ": no such file or folder") +
                 "; check the path");
}

std::vector<fs::path> list_images(const std::vector<std::string>& places, Folders folders) {
  std::vector<fs::path> images;
  for (const auto& place : places) {
    const auto found = list_images(place, folders);
    images.insert(images.end(), found.begin(), found.end());
  }
  return images;
}

}  // namespace data
