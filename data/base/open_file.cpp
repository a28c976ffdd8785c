#include "data/base/open_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace data {

int opened(const fs::path& path, int flags) {
  return ::open(path.c_str(), flags | O_CLOEXEC, 0644);
}

Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

void cannot_write(const fs::path& path, int error) {
  std::string advice;
  if (error == ENOSPC || error == EDQUOT) advice = "; free some space; nothing was overwritten";
  if (error == EACCES || error == EROFS || error == EPERM)
    advice = "; choose a folder that you can write to";
  throw BadInput(path.string() + ": cannot be written: " + std::strerror(error) + advice);
}

void write_all(int descriptor, const void* bytes, size_t count, const fs::path& path) {
  const char* next = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(descriptor, next, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) cannot_write(path, errno);
    next += written;
    count -= static_cast<size_t>(written);
  }
}

void make_parent(const fs::path& path) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) cannot_write(path.parent_path(), error.value());
}

fs::path temporary_name(const fs::path& path) {
  static std::atomic<uint64_t> count{0};
  return path.string() + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

int open_unnamed(const fs::path& folder) {
  static const bool can_be_named = ::access("/proc/self/fd", X_OK) == 0;
  return can_be_named ? opened(folder, O_WRONLY | O_TMPFILE) : -1;
}

bool give_name(int unnamed, const fs::path& path) {
  const std::string open_file = "/proc/self/fd/" + std::to_string(unnamed);
  return ::linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

void flush(int descriptor, const fs::path& path) {
  if (::fsync(descriptor) != 0) cannot_write(path, errno);
}

}  // namespace data
