#include "data/storage/new_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "data/base/files.hpp"
#include "data/base/open_file.hpp"

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

// Where the file system has no files without a name.
bool write_and_move(const fs::path& path, std::string_view bytes) {
  const fs::path own = temporary_name(path);
  write_file(own, bytes);
  if (move_to_new(own, path)) return true;
  const int error = errno;
  ::unlink(own.c_str());
  if (error == EEXIST) return false;
  cannot_write(path, error);
}

}  // namespace

bool write_new_file(const fs::path& path, std::string_view bytes) {
  make_parent(path);
  const Descriptor file(open_unnamed(folder_of(path)));
  if (file.get() < 0) return write_and_move(path, bytes);
  write_all(file.get(), bytes.data(), bytes.size(), path);
  flush(file.get(), path);
  if (give_name(file.get(), path)) {
    flush_folder_of(path);
    return true;
  }
  if (errno == EEXIST) return false;
  cannot_write(path, errno);
}

}  // namespace data
