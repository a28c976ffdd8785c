#include "data/storage/new_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "data/base/error.hpp"
#include "data/base/files.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

// Renames where nothing has the name; else false with errno EEXIST.
bool move_to_new(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  if (::link(from.c_str(), to.c_str()) != 0) return false;  // a file system without that call
  ::unlink(from.c_str());
  return true;
}

}  // namespace

bool write_new_file(const fs::path& path, std::string_view bytes) {
  static std::atomic<uint64_t> count{0};
  const fs::path own =
      path.string() + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".new.tmp";
  write_file(own, bytes);
  if (move_to_new(own, path)) return true;
  const int error = errno;
  ::unlink(own.c_str());
  if (error == EEXIST) return false;
  throw BadInput(path.string() + ": cannot be written: " + std::strerror(error));
}

}  // namespace data
