#include "data/weights/hub_cache.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/files.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

struct HubName {
  std::string model;  // "org/name"
  fs::path file;      // below it, or empty
};

HubName parsed(const std::string& text) {
  const size_t first = text.find('/');
  const size_t second = text.find('/', first + 1);
  if (second == std::string::npos) return {text, {}};
  return {text.substr(0, second), text.substr(second + 1)};
}

// An environment variable as a path, empty when it is not set.
fs::path variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? fs::path(value) : fs::path();
}

std::string folder_name(const std::string& model) {
  std::string name = "models--" + model;
  name.replace(name.find('/'), 1, "--");
  return name;
}

// The snapshot that refs/main names; without it the only one; empty when there is none.
fs::path snapshot_of(const fs::path& model) {
  const fs::path main = model / "refs" / "main";
  std::error_code error;
  if (fs::exists(main, error)) {
    std::string hash = read_file(main);
    std::erase_if(hash, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
    const fs::path snapshot = model / "snapshots" / hash;
    return fs::is_directory(snapshot, error) ? snapshot : fs::path();
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(model / "snapshots", error))
    found.push_back(entry.path());
  return found.size() == 1 ? found[0] : fs::path();
}

}  // namespace

bool is_hub_name(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ||
           c == '/';
  };
  const size_t slash = text.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < text.size() && text[0] != '.' &&
         text[slash + 1] != '.' && text[slash + 1] != '/' && text.back() != '/' &&
         std::all_of(text.begin(), text.end(), plain);
}

fs::path hub_cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const fs::path folder = variable(name); !folder.empty()) return folder;
  }
  if (const fs::path home = variable("HF_HOME"); !home.empty()) return home / "hub";
  if (const fs::path cache = variable("XDG_CACHE_HOME"); !cache.empty())
    return cache / "huggingface" / "hub";
  return variable("HOME") / ".cache" / "huggingface" / "hub";
}

fs::path find_in_hub_cache(const std::string& name) {
  const HubName hub = parsed(name);
  const fs::path model = hub_cache_folder() / folder_name(hub.model);
  const fs::path snapshot = snapshot_of(model);
  const std::string download = "; download it once: hf download " + hub.model;
  if (snapshot.empty())
    throw BadInput(name + ": no such path, and Hugging Face's cache has no snapshot of it in " +
                   model.string() + " (set HF_HOME or HF_HUB_CACHE if it is elsewhere)" + download);
  if (hub.file.empty()) return snapshot;
  if (!fs::exists(snapshot / hub.file))
    throw BadInput(name + ": the cached snapshot " + snapshot.string() + " holds no " +
                   hub.file.string() + download + " " + hub.file.string());
  return snapshot / hub.file;
}

}  // namespace data
