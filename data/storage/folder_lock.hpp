#pragma once

#include <filesystem>

namespace data {

// Keeps a folder, or a file, for one process at a time: an exclusive flock on
// <folder>/.laurel.lock. The system drops it when the process ends, however it ends, so that a file
// left by a killed one binds nobody.
class FolderLock {
 public:
  FolderLock() = default;  // of no folder
  // Makes the folder. Throws BadInput when another process holds it, naming that process. On a file
  // system without locks it holds nothing.
  explicit FolderLock(const std::filesystem::path& folder);
  // The same for one file that a process goes on writing, by <file>.lock.
  static FolderLock of_file(const std::filesystem::path& file);
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&& other) noexcept;

  static bool is_lock(const std::filesystem::path& file);  // by its name

 private:
  FolderLock(const std::filesystem::path& kept, const std::filesystem::path& file);
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace data
