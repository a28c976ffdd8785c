#include "data/storage/cut_line.hpp"

#include <string>

#include "data/base/files.hpp"

namespace data {

void drop_cut_line(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return;
  const std::string text = read_file(path);
  const size_t whole = text.find_last_of('\n') + 1;  // npos + 1 is 0
  if (whole < text.size()) write_file(path, std::string_view(text).substr(0, whole));
}

}  // namespace data
