#pragma once

// The version of a database's tables, and the way from an older one.

#include <filesystem>
#include <string>
#include <vector>

#include "data/database/connection.hpp"

namespace data {

struct Schema {
  std::string what;                       // of messages: "a studio's store"
  int64_t application = 0;                // SQLite's application_id
  std::vector<std::string> migrations{};  // statement lists; [v] makes version v + 1 of version v
};

// Opens the file, for kCreate a new one, and brings it to the newest version: each step is a
// transaction, and before the first one the file is copied to <file>.before-v<newest>. A file of
// another application, and one of a newer version, are refused and not touched. kRead migrates
// nothing: an older version is refused.
Database open_database(const std::filesystem::path& file, const Schema& schema, Access access);

}  // namespace data
