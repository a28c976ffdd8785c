#pragma once

#include <filesystem>

namespace data {

// Renames the folder `from` to `to`, on one disk. A folder that is at `to` is replaced in one step:
// a kill at any moment leaves a whole one.
void replace_folder(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace data
