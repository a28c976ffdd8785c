#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace data {

// "PNG, JPEG, WebP, BMP, GIF, TGA or PSD": what read_image reads, for messages.
inline constexpr const char* kImageKinds = "PNG, JPEG, WebP, BMP, GIF, TGA or PSD";

// By the ending of its name, in letters of either case, a picture; no hidden file (".x.png", and
// "._x.png", which macOS leaves beside x.png). Pictures of kinds that read_image does not read
// (HEIC, TIFF, AVIF, ..) count too: they are named where they fail, not passed over.
bool is_image_name(const std::filesystem::path& path);

// What kind of picture that read_image does not read these bytes are: "HEIC"; "": none that is
// known.
std::string unread_kind(std::string_view bytes);

enum class Folders { kFlat, kRecursive };  // of the images of a folder: those of folders inside too

// A file: itself. A folder: its images by name. A pattern with * ? [: the files that it matches.
// Throws BadInput when nothing is found. Hidden folders are passed over.
std::vector<std::filesystem::path> list_images(const std::string& file_folder_or_glob,
                                               Folders folders = Folders::kFlat);
// Of several such, one after the other.
std::vector<std::filesystem::path> list_images(const std::vector<std::string>& places,
                                               Folders folders = Folders::kFlat);

}  // namespace data
