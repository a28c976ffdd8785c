#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace data {

// "PNG, JPEG, WebP, BMP, GIF, TGA or PSD": what read_image reads, for messages.
inline constexpr const char* kImageKinds = "PNG, JPEG, WebP, BMP, GIF, TGA or PSD";

// By the ending of its name, in letters of either case, a picture that read_image reads; no hidden
// file (".x.png", and "._x.png", which macOS leaves beside x.png).
bool is_image_name(const std::filesystem::path& path);

// A file: itself. A folder: its images by name, not those of folders inside. A pattern with * ? [:
// the files that it matches. Throws BadInput when nothing is found.
std::vector<std::filesystem::path> list_images(const std::string& file_folder_or_glob);
// Of several such, one after the other.
std::vector<std::filesystem::path> list_images(const std::vector<std::string>& places);

}  // namespace data
