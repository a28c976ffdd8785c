#pragma once

#include <filesystem>
#include <string_view>

namespace data {

// Writes a file as write_file does (data/base/files.hpp), under a name that must be free: of
// several processes that write it at once one does. False, and nothing is written, when the name is
// taken.
bool write_new_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace data
