#pragma once

#include <filesystem>

namespace data {

// Drops what follows the last newline of a file of lines: a line whose writer was killed. A file
// that is not there is passed over. Throws BadInput as read_file and write_file.
void drop_cut_line(const std::filesystem::path& path);

}  // namespace data
