#include "data/database/schema.hpp"

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

int64_t version_of(Database& database) { return database.number("PRAGMA user_version"); }

// Reads what the file says about itself, without writing to it.
int64_t checked_version(const fs::path& file, const Schema& schema) {
  Database database(file, Access::kRead);
  if (database.number("PRAGMA schema_version") == 0) return 0;  // empty
  if (database.number("PRAGMA application_id") != schema.application)
    throw BadInput(file.string() + ": expected " + schema.what +
                   ", found a database of another program");
  const int64_t version = version_of(database);
  const auto newest = static_cast<int64_t>(schema.migrations.size());
  if (version > newest)
    throw BadInput(file.string() + ": is of version " + std::to_string(version) +
                   ", this laurel knows " + schema.what + " up to version " +
                   std::to_string(newest) + "; use a newer laurel");
  return version;
}

void migrate(Database& database, const Schema& schema) {
  const auto newest = static_cast<int64_t>(schema.migrations.size());
  for (int64_t version = version_of(database); version < newest;) {
    Transaction transaction(database);
    version = version_of(database);  // another process may have been first
    if (version == newest) break;
    database.run(schema.migrations[static_cast<size_t>(version)]);
    ++version;
    database.run("PRAGMA application_id=" + std::to_string(schema.application) +
                 "; PRAGMA user_version=" + std::to_string(version));
    transaction.commit();
  }
}

}  // namespace

Database open_database(const fs::path& file, const Schema& schema, Access access) {
  const auto newest = static_cast<int64_t>(schema.migrations.size());
  const bool present = fs::exists(file) && (!fs::is_regular_file(file) || fs::file_size(file) > 0);
  const int64_t version = present ? checked_version(file, schema) : 0;
  if (access == Access::kRead && version < newest)
    throw BadInput(file.string() + ": is of version " + std::to_string(version) +
                   "; open it for writing first, which brings it to version " +
                   std::to_string(newest));
  Database database(file, access);
  if (version > 0 && version < newest) {
    const fs::path copy = file.string() + ".before-v" + std::to_string(newest);
    if (!fs::exists(copy)) back_up(database, copy);
  }
  if (access != Access::kRead) migrate(database, schema);
  return database;
}

}  // namespace data
