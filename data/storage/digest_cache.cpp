#include "data/storage/digest_cache.hpp"

#include <cstdlib>
#include <fstream>
#include <system_error>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/storage/sha256.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

// What changes when the file changes: "<size> <nanoseconds>".
std::string stamp_of(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error) return "";
  const auto time = fs::last_write_time(file, error);
  if (error) return "";
  return std::to_string(size) + " " + std::to_string(time.time_since_epoch().count());
}

// The digest that an entry holds for this stamp, "" where it holds none.
std::string read_entry(const fs::path& entry, const std::string& stamp) {
  std::ifstream stream(entry);
  std::string kept_stamp, digest;
  if (!std::getline(stream, kept_stamp) || !std::getline(stream, digest)) return "";
  return kept_stamp == stamp && digest.size() == 64 ? digest : "";
}

}  // namespace

fs::path user_cache_folder() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder)
    return fs::path(folder) / "laurel";
  if (const char* home = std::getenv("HOME"); home && *home)
    return fs::path(home) / ".cache" / "laurel";
  return {};
}

std::string cached_sha256_of_file(const fs::path& file, const fs::path& cache) {
  const std::string stamp = stamp_of(file);
  if (cache.empty() || stamp.empty()) return sha256_of_file(file);
  const fs::path entry = cache / "sha256" / sha256(fs::absolute(file).string()).substr(0, 32);
  if (const std::string kept = read_entry(entry, stamp); !kept.empty()) return kept;
  const std::string digest = sha256_of_file(file);
  if (stamp_of(file) != stamp) return digest;  // it was written meanwhile
  try {
    write_file(entry, stamp + "\n" + digest + "\n");
  } catch (const BadInput&) {  // a read-only home: the next run hashes again
  }
  return digest;
}

}  // namespace data
