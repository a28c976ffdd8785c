#include "data/storage/folder_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr const char* kName = ".laurel.lock";

// Whether the open file is still the one at the path: who lets go of a lock removes its file.
bool is_at(int descriptor, const fs::path& file) {
  struct stat open {
  }, now{};
  return ::fstat(descriptor, &open) == 0 && ::stat(file.c_str(), &now) == 0 &&
         open.st_dev == now.st_dev && open.st_ino == now.st_ino;
}

[[noreturn]] void held_by_another(const fs::path& kept, int descriptor) {
  char holder[24] = {};
  const ssize_t count = ::pread(descriptor, holder, sizeof holder - 1, 0);
  ::close(descriptor);
  const std::string kind = fs::is_directory(kept) ? "folder" : "file";
  throw BadInput(kept.string() + ": expected a " + kind +
                 " that no other laurel writes to, found " +
                 (count > 0 ? "process " + std::string(holder) : std::string("another")) +
                 " at work in it; wait for it to end, or name another " + kind);
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder) : FolderLock(folder, folder / kName) {}

FolderLock FolderLock::of_file(const fs::path& file) { return {file, file.string() + ".lock"}; }

FolderLock::FolderLock(const fs::path& kept, const fs::path& file) : file_(file) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  for (;;) {
    descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0)
      throw BadInput(kept.string() + ": cannot be written: " + std::strerror(errno) +
                     "; choose a folder that you may write to");
    const bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno == EWOULDBLOCK) held_by_another(kept, std::exchange(descriptor_, -1));
    if (!locked || is_at(descriptor_, file_)) break;
    ::close(descriptor_);  // removed by its holder between our opening and locking
  }
  const std::string holder = std::to_string(::getpid());
  if (::ftruncate(descriptor_, 0) != 0 ||
      ::pwrite(descriptor_, holder.data(), holder.size(), 0) < 0) {
    // A full disk: the lock holds, and nobody is told whose it is.
  }
}

FolderLock::~FolderLock() {
  if (descriptor_ < 0) return;
  ::unlink(file_.c_str());  // before the lock goes
  ::close(descriptor_);
}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : file_(std::move(other.file_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

FolderLock& FolderLock::operator=(FolderLock&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

bool FolderLock::is_lock(const fs::path& file) { return file.filename() == kName; }

}  // namespace data
