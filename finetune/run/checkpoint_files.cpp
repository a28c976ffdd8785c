#include "finetune/run/checkpoint_files.hpp"

#include <algorithm>
#include <sstream>
#include <vector>

#include "data/base/files.hpp"
#include "data/storage/sha256.hpp"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDigests = "SHA256SUMS";
constexpr const char* kState = "state.safetensors";  // last in the list, which shows it whole
constexpr size_t kDigestLength = 64;                 // then two spaces and the name

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).string();
    if (entry.is_regular_file() && name != kDigests && name != kState) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  if (fs::exists(folder / kState)) names.emplace_back(kState);
  return names;
}

}  // namespace

void write_digests(const fs::path& folder) {
  std::string lines;
  for (const auto& name : names_in(folder))
    lines += data::sha256_of_file(folder / name) + "  " + name + "\n";
  data::write_file(folder / kDigests, lines);
}

std::string damage_of(const fs::path& checkpoint) {
  if (!fs::exists(checkpoint / kDigests)) return "";
  std::istringstream lines(data::read_file(checkpoint / kDigests));
  std::string name;
  std::error_code error;  // of a name that no file can have
  for (std::string line; std::getline(lines, line);) {
    name = line.size() > kDigestLength + 2 ? line.substr(kDigestLength + 2) : "";
    if (name.empty()) break;
    if (!fs::is_regular_file(checkpoint / name, error)) return name + " is missing";
    if (data::sha256_of_file(checkpoint / name) != line.substr(0, kDigestLength))
      return name + ": its SHA-256 is not the one in " + kDigests;
  }
  return name == kState ? "" : std::string(kDigests) + " is cut off";
}

void remove_checkpoint(const fs::path& checkpoint) {
  const fs::path away = checkpoint.string() + ".tmp";
  fs::remove_all(away);
  fs::rename(checkpoint, away);
  fs::remove_all(away);
}

}  // namespace finetune
