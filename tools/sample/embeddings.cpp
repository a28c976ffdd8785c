#include "tools/sample/embeddings.hpp"

#include <algorithm>
#include <filesystem>

#include "data/base/error.hpp"
#include "data/unicode/characters.hpp"
#include "diffusion/pipeline/textual_inversion.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

bool stands_in(const std::string& name, const std::vector<std::string>& texts) {
  const auto lowered = [](const std::string& text) { return data::lower(data::decode_utf8(text)); };
  const std::u32string wanted = lowered(name);
  return std::any_of(texts.begin(), texts.end(), [&](const std::string& text) {
    return lowered(text).find(wanted) != std::u32string::npos;
  });
}

std::vector<fs::path> files_in(const fs::path& folder, const std::vector<std::string>& texts) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string ending = entry.path().extension().string();
    if (ending != ".safetensors" && ending != ".pt" && ending != ".bin") continue;
    if (stands_in(entry.path().stem().string(), texts)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

void add_embeddings(const std::vector<std::string>& given,
                    const std::vector<std::string>& texts,
                    diffusion::Pipeline& pipeline) {
  for (const auto& one : given) {
    const size_t equals = fs::exists(one) ? one.npos : one.find('=');
    const std::string name = equals == one.npos ? "" : one.substr(0, equals);
    const fs::path path = equals == one.npos ? one : one.substr(equals + 1);
    if (!fs::exists(path)) {
      throw data::BadInput("--embedding " + one +
                           ": expected a file or a folder of textual inversions, found nothing; " +
                           "check the path");
    }
    if (!fs::is_directory(path)) {
      diffusion::add_embedding(pipeline, diffusion::read_embedding(path, name));
      continue;
    }
    for (const auto& file : files_in(path, texts)) {
      const std::string stem = file.stem().string();
      diffusion::add_embedding(pipeline, diffusion::read_embedding(file, stem));
    }
  }
}

}  // namespace tools
