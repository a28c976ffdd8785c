#pragma once

// The studio's store: which pictures there are, who was shown which pair, and what they answered.
// It holds no bytes of pictures. Votes are only added: an undo is a row that supersedes another.

#include <filesystem>

#include "data/database/connection.hpp"
#include "data/storage/folder_lock.hpp"

namespace studio {

// A store that this process alone writes.
struct Store {
  data::FolderLock lock;
  data::Database database;
};

// Makes a store that is missing, and brings an older one to the newest version after copying it.
// Throws BadInput when another studio has it, and as data::open_database.
Store open_store(const std::filesystem::path& file);
// To look at alone: while a studio has it, too.
data::Database read_store(const std::filesystem::path& file);

// Seconds since 1970, for the columns `at`.
int64_t now();

}  // namespace studio
