#include "data/images/image_files.hpp"

#include <glob.h>

#include <algorithm>
#include <cctype>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

std::vector<fs::path> images_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && is_image_name(entry.path())) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
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
  return !path.filename().string().starts_with(".") &&
         std::find(std::begin(kEndings), std::end(kEndings), ending) != std::end(kEndings);
}

std::vector<fs::path> list_images(const std::string& file_folder_or_glob) {
  const fs::path path = file_folder_or_glob;
  std::error_code error;
  if (fs::is_regular_file(path, error)) return {path};
  const bool folder = fs::is_directory(path, error);
  const auto paths = folder ? images_in(path) : matches_of(file_folder_or_glob);
  if (!paths.empty()) return paths;
  if (folder)
    throw BadInput(path.string() + ": no images in this folder: expected " + kImageKinds +
                   " files");
  const bool pattern = file_folder_or_glob.find_first_of("*?[") != std::string::npos;
  throw BadInput(path.string() +
                 (pattern ? ": no image matches this pattern" : ": no such file or folder") +
                 "; check the path");
}

std::vector<fs::path> list_images(const std::vector<std::string>& places) {
  std::vector<fs::path> images;
  for (const auto& place : places) {
    const auto found = list_images(place);
    images.insert(images.end(), found.begin(), found.end());
  }
  return images;
}

}  // namespace data
