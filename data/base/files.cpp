#include "data/base/files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/open_file.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/encoding.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

// Fills a new file beside `path` and flushes it to the disk; then it has the name `path` where
// nothing has it, so that a process that is killed leaves no other, else the name `temporary`.
// Returns the name.
fs::path write_beside(const fs::path& path,
                      const fs::path& temporary,
                      const std::function<void(const Append&)>& fill) {
  const int unnamed = open_unnamed(folder_of(path));
  const Descriptor file(unnamed >= 0 ? unnamed : opened(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  if (file.get() < 0) cannot_write(path, errno);
  fill([&](const void* bytes, size_t count) { write_all(file.get(), bytes, count, path); });
  flush(file.get(), path);
  if (unnamed < 0) return temporary;
  if (give_name(unnamed, path)) return path;
  if (errno != EEXIST || !give_name(unnamed, temporary)) cannot_write(path, errno);
  return temporary;
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
    const fs::path written = write_beside(path, temporary, fill);
    if (written != path && ::rename(written.c_str(), path.c_str()) != 0) cannot_write(path, errno);
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
