#pragma once

// Files before they have a name: what files.cpp and data/storage/new_file.cpp write by.

#include <cstddef>
#include <filesystem>

namespace data {

// As open(2); a new file is for its owner to write and for all to read. Negative, with errno:
// failed.
int opened(const std::filesystem::path& path, int flags);

// An open file that closes itself; negative: none.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const std::filesystem::path& path, int flags) : Descriptor(opened(path, flags)) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

// A new file without a name, of which nothing is left when its process is killed; negative where
// the file system has none, or a name cannot be given to it later.
int open_unnamed(const std::filesystem::path& folder);
// Names it, at once and only where nothing has the name; else false with errno.
bool give_name(int unnamed, const std::filesystem::path& path);

// All bytes; `path` is for the message. Throws BadInput where they cannot be written.
void write_all(int descriptor, const void* bytes, size_t count, const std::filesystem::path& path);
// Waits until they are on the disk. Throws BadInput.
void flush(int descriptor, const std::filesystem::path& path);

// Throws BadInput with the reason, an errno, and what to do.
[[noreturn]] void cannot_write(const std::filesystem::path& path, int error);
// Creates the folder of a file. Throws BadInput.
void make_parent(const std::filesystem::path& path);
std::filesystem::path folder_of(const std::filesystem::path& path);

// A name beside `path`, of this process and this moment, so that two that write one file do not
// meet.
std::filesystem::path temporary_name(const std::filesystem::path& path);

}  // namespace data
