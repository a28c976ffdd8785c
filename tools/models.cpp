#include "tools/models.hpp"

#include <cstdlib>

#include "data/error.hpp"

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

fs::path checkpoint_folder(const std::string& named) {
  if (!named.empty()) return named;
  const fs::path models = embedded_models();
  if (models.empty()) {
    throw data::BadInput(
        "model: expected a folder, found none: the embedded models are not beside the program; "
        "give --model FOLDER, or set LAUREL_MODELS to their folder");
  }
  return models / "tiny-world";
}

}  // namespace tools
