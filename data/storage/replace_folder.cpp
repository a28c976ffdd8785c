#include "data/storage/replace_folder.hpp"

#include <fcntl.h>

#include <cstdio>

#include "data/base/files.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

bool exchange(const fs::path& a, const fs::path& b) {
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

}  // namespace

void replace_folder(const fs::path& from, const fs::path& to) {
  if (fs::exists(to) && exchange(from, to)) {
    flush_folder_of(to);
    fs::remove_all(from);
    return;
  }
  fs::remove_all(to);  // where the file system cannot exchange two names
  fs::rename(from, to);
  flush_folder_of(to);
}

}  // namespace data
