#include "data/storage/relative_path.hpp"

namespace fs = std::filesystem;

namespace data {

std::string relative_path(const fs::path& file, const fs::path& folder) {
  return fs::absolute(file)
      .lexically_normal()
      .lexically_proximate(fs::absolute(folder / ".").lexically_normal())
      .generic_string();
}

}  // namespace data
