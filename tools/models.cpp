#include "tools/models.hpp"

#include <cstdlib>

namespace fs = std::filesystem;

namespace tools {

fs::path embedded_models() {
  if (const char* named = std::getenv("LAUREL_MODELS"))
    return fs::is_directory(named) ? named : fs::path();
  std::error_code error;
  const fs::path bin = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path packaged = bin.parent_path() / "share" / "laurel" / "models";
  const fs::path built =
      bin.parent_path().parent_path().parent_path() / "models";  // <source>/build/<preset>/bin
  for (const auto& folder : {packaged, built}) {
    if (fs::is_directory(folder, error)) return folder;
  }
  return {};
}

}  // namespace tools
