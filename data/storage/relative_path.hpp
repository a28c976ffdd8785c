#pragma once

#include <filesystem>
#include <string>

namespace data {

// A file's path from a folder, with "/" between its parts, by names alone: nothing needs to exist,
// and links are not followed. An empty folder is the current one. Where there is no way between
// them: the absolute path.
std::string relative_path(const std::filesystem::path& file, const std::filesystem::path& folder);

}  // namespace data
