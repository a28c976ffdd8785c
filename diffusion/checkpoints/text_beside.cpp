#include "diffusion/checkpoints/text_beside.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "diffusion/naming/part_names.hpp"

namespace fs = std::filesystem;

namespace diffusion {
fs::path text_beside(const fs::path& file, const FamilyEncoder& encoder) {
  const std::string stem = encoder.stem;
  if (stem.empty()) return {};
  const fs::path place = fs::absolute(file).parent_path();
  if (fs::exists(place / encoder.part / "config.json")) return place / encoder.part;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(place)) {
    const fs::path& path = entry.path();
    if (path.extension() == ".safetensors" && path.filename().string().starts_with(stem))
      files.push_back(path);
  }
  return files.empty() ? fs::path() : *std::min_element(files.begin(), files.end());
}

FamilyEncoder vae_encoder(const ModelFamily& family) {
  return {.part = kVaePart, .tokenizer = "", .prefix = "", .stem = family.vae_stem};
}

}  // namespace diffusion
