#include "data/base/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/encoding.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

int opened(const fs::path& path, int flags) {
  return ::open(path.c_str(), flags | O_CLOEXEC, 0644);
}

// An open file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const fs::path& path, int flags) : Descriptor(opened(path, flags)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

[[noreturn]] void cannot_write(const fs::path& path, int error) {
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

// Of this process and this moment, so that two that write one file do not meet.
fs::path temporary_name(const fs::path& path) {
  static std::atomic<uint64_t> count{0};
  return path.string() + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// A new file without a name, of which nothing is left when its process is killed; negative where
// the file system has none, or a name cannot be given to it later.
int open_unnamed(const fs::path& folder) {
  static const bool can_be_named = ::access("/proc/self/fd", X_OK) == 0;
  return can_be_named ? opened(folder, O_WRONLY | O_TMPFILE) : -1;
}

// Fills a new file beside `path` and flushes it to the disk; then it has the name `temporary`.
void write_temporary(const fs::path& path,
                     const fs::path& temporary,
                     const std::function<void(const Append&)>& fill) {
  const int unnamed = open_unnamed(folder_of(path));
  const Descriptor file(unnamed >= 0 ? unnamed : opened(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  if (file.get() < 0) cannot_write(path, errno);
  fill([&](const void* bytes, size_t count) { write_all(file.get(), bytes, count, path); });
  if (::fsync(file.get()) != 0) cannot_write(path, errno);
  const std::string open_file = "/proc/self/fd/" + std::to_string(file.get());
  if (unnamed >= 0 &&
      ::linkat(AT_FDCWD, open_file.c_str(), AT_FDCWD, temporary.c_str(), AT_SYMLINK_FOLLOW) != 0)
    cannot_write(path, errno);
}

[[noreturn]] void too_large(const fs::path& path, uint64_t most) {
  throw BadInput(path.string() + ": expected a file of at most " + std::to_string(most >> 20) +
                 " MiB, found more; check the path");
}

}  // namespace

void flush_folder_of(const fs::path& path) {
  const Descriptor folder(folder_of(path), O_RDONLY | O_DIRECTORY);
  if (folder.get() >= 0) ::fsync(folder.get());
}

std::string read_file(const fs::path& path) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (!fs::exists(status)) throw BadInput(path.string() + ": no such file; check the path");
  if (fs::is_directory(status)) throw BadInput(path.string() + ": expected a file, found a folder");
  const bool regular = fs::is_regular_file(status);
  const uint64_t most = regular ? kLargestFile : kLargestStream;
  if (regular && fs::file_size(path, error) > most && !error) too_large(path, most);
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw BadInput(path.string() + ": cannot be read: " + std::strerror(errno));
  std::string bytes;
  std::vector<char> piece(size_t{1} << 16);
  while (stream.read(piece.data(), static_cast<std::streamsize>(piece.size())),
         stream.gcount() > 0) {
    bytes.append(piece.data(), static_cast<size_t>(stream.gcount()));
    if (bytes.size() > most) too_large(path, most);
  }
  if (stream.bad()) throw BadInput(path.string() + ": cannot be read: " + std::strerror(errno));
  return bytes;
}

void write_file_in_pieces(const fs::path& path, const std::function<void(const Append&)>& fill) {
  make_parent(path);
  const fs::path temporary = temporary_name(path);
  try {
    write_temporary(path, temporary, fill);
    if (::rename(temporary.c_str(), path.c_str()) != 0) cannot_write(path, errno);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  flush_folder_of(path);
}

int64_t for_each_line(
    const fs::path& path,
    const std::function<void(const std::string& line, const std::string& where)>& take) {
  std::istringstream lines(decoded_text(read_file(path)));
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!trimmed(line).empty()) take(line, path.string() + ":" + std::to_string(number));
  }
  return number;
}

void write_file(const fs::path& path, std::string_view bytes) {
  write_file_in_pieces(path, [&](const Append& append) { append(bytes.data(), bytes.size()); });
}

void append_bytes(const fs::path& path, std::string_view bytes) {
  make_parent(path);
  const Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND);
  if (file.get() < 0) cannot_write(path, errno);
  write_all(file.get(), bytes.data(), bytes.size(), path);
}

void append_line(const fs::path& path, std::string_view line) {
  append_bytes(path, std::string(line) + "\n");
}

}  // namespace data
