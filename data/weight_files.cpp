#include "data/weight_files.hpp"

#include "data/error.hpp"

namespace fs = std::filesystem;

namespace data {

fs::path find_weights(const fs::path& folder, const std::string& stem) {
  for (const char* ending : {".safetensors", ".fp16.safetensors"}) {
    if (fs::exists(folder / (stem + ending))) return folder / (stem + ending);
  }
  const std::string expected =
      folder.string() + ": expected " + stem + ".safetensors or " + stem + ".fp16.safetensors";
  if (!fs::is_directory(folder))
    throw BadInput(expected + ", but there is no such folder; check the path");
  if (fs::exists(folder / (stem + ".safetensors.index.json"))) {
    throw BadInput(expected + ", found shards (" + stem +
                   ".safetensors.index.json); save it as one file");
  }
  if (fs::exists(folder / (stem + ".bin"))) {
    throw BadInput(expected + ", found only " + stem + ".bin; convert it to safetensors");
  }
  throw BadInput(expected + ", found neither; the download may be incomplete");
}

}  // namespace data
