#include "data/database/connection.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <stdexcept>

#include "data/base/error.hpp"

namespace fs = std::filesystem;

namespace data {
namespace {

constexpr int kPatienceMs = 5000;
constexpr int kLongestText = 1 << 28;  // bytes of a value or a statement

// What the user can do about a failure; null: it is a fault of laurel's.
const char* advice_about(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "the disk is full; make room";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program writes to it; try again when that has ended";
    case SQLITE_NOTADB:
      return "expected an SQLite database, found another kind of file";
    case SQLITE_CORRUPT:
      return "the file is damaged; use a copy (--backup, or one that ends in .before-v<N>)";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return "may not be written; change its permissions or name another file";
    case SQLITE_CANTOPEN:
      return "cannot be opened; does the folder exist?";
    case SQLITE_IOERR:
      return "cannot be read or written; the disk may be failing";
    case SQLITE_TOOBIG:
      return "a value is too large";
    default:
      return nullptr;
  }
}

[[noreturn]] void fail(sqlite3* handle) {
  const char* name = handle ? sqlite3_db_filename(handle, "main") : nullptr;
  const std::string file = name && *name ? name : "database";
  const int code = handle ? sqlite3_extended_errcode(handle) : SQLITE_NOMEM;
  const std::string message = handle ? sqlite3_errmsg(handle) : "out of memory";
  if (const char* advice = advice_about(code))
    throw BadInput(file + ": " + advice + " (SQLite: " + message + ")");
  throw std::runtime_error(file + ": SQLite: " + message);
}

void expect_ok(int code, sqlite3* handle) {
  if (code != SQLITE_OK) fail(handle);
}

sqlite3* handle_of(sqlite3_stmt* statement) { return sqlite3_db_handle(statement); }

// Flushes a file, or a folder's list of names, to the disk.
void flush(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  const bool flushed = fsync(descriptor) == 0;
  close(descriptor);
  if (!flushed) throw BadInput(path.string() + ": cannot be flushed to the disk");
}

void add_faults(Database& database, std::vector<std::string>& faults) {
  Statement pages = database.prepare("PRAGMA integrity_check(20)");
  while (pages.next()) {
    if (pages.text(0) != "ok") faults.push_back(pages.text(0));
  }
  Statement references = database.prepare("PRAGMA foreign_key_check");
  while (references.next() && faults.size() < 40)
    faults.push_back("row " + references.text(1) + " of " + references.text(0) +
                     " refers to a row of " + references.text(2) + " that is missing");
}

}  // namespace

void Statement::Close::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

void Statement::restart(size_t parameters) {
  sqlite3_reset(statement_.get());
  if (static_cast<size_t>(sqlite3_bind_parameter_count(statement_.get())) != parameters)
    throw std::logic_error("parameters of: " + std::string(sqlite3_sql(statement_.get())));
}

void Statement::bind_at(int place, int64_t value) {
  expect_ok(sqlite3_bind_int64(statement_.get(), place, value), handle_of(statement_.get()));
}

void Statement::bind_at(int place, double value) {
  expect_ok(sqlite3_bind_double(statement_.get(), place, value), handle_of(statement_.get()));
}

void Statement::bind_at(int place, std::string_view value) {
  const char* bytes = value.data() ? value.data() : "";
  expect_ok(sqlite3_bind_text64(statement_.get(), place, bytes, value.size(), SQLITE_TRANSIENT,
                                SQLITE_UTF8),
            handle_of(statement_.get()));
}

void Statement::bind_at(int place, const std::optional<int64_t>& value) {
  if (value) return bind_at(place, *value);
  expect_ok(sqlite3_bind_null(statement_.get(), place), handle_of(statement_.get()));
}

bool Statement::next() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    sqlite3_reset(statement_.get());  // ends its transaction
    return false;
  }
  fail(handle_of(statement_.get()));
}

void Statement::run() {
  while (next()) {
  }
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::number(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  const int count = sqlite3_column_bytes(statement_.get(), column);
  return bytes ? std::string(bytes, static_cast<size_t>(count)) : "";
}

void Database::Close::operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }

Database::Database(const fs::path& file, Access access) : file_(file) {
  std::error_code error;
  if (fs::is_directory(file, error))
    throw BadInput(file.string() + ": expected a database, found a folder");
  if (access != Access::kCreate && !fs::exists(file, error))
    throw BadInput(file.string() + ": expected a database, found no file");
  const int flags = access == Access::kRead    ? SQLITE_OPEN_READONLY
                    : access == Access::kWrite ? SQLITE_OPEN_READWRITE
                                               : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(opened);
  expect_ok(code, opened);
  sqlite3_extended_result_codes(opened, 1);
  sqlite3_busy_timeout(opened, kPatienceMs);
  sqlite3_limit(opened, SQLITE_LIMIT_LENGTH, kLongestText);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  run("PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON");
  // The first to read the file: a file of another kind fails here.
  if (access != Access::kRead) run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
  number("PRAGMA schema_version");
}

Statement Database::prepare(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  expect_ok(sqlite3_prepare_v2(handle_.get(), sql.c_str(), static_cast<int>(sql.size()) + 1,
                               &statement, nullptr),
            handle_.get());
  return Statement(statement);
}

void Database::run(const std::string& sql) {
  expect_ok(sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr), handle_.get());
}

int64_t Database::number(const std::string& sql) {
  Statement statement = prepare(sql);
  return statement.next() ? statement.integer(0) : 0;
}

int64_t Database::last_row() const { return sqlite3_last_insert_rowid(handle_.get()); }

bool Database::has_log() {
  Statement statement = prepare("PRAGMA journal_mode");
  return statement.next() && statement.text(0) == "wal";
}

Transaction::Transaction(Database& database) : database_(database) {
  database_.run("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.run("ROLLBACK");
  } catch (const std::exception&) {  // SQLite has undone it already: the disk is full
  }
}

void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

void back_up(Database& database, const fs::path& copy) {
  if (fs::exists(copy)) throw BadInput(copy.string() + ": exists; name a new file");
  fs::path part = copy;
  part += ".tmp";
  std::error_code error;
  fs::remove(part, error);  // of a backup that was ended
  database.prepare("VACUUM INTO ?").bind(part.string()).run();
  flush(part);
  fs::rename(part, copy);
  const fs::path folder = copy.parent_path();
  flush(folder.empty() ? "." : folder);
}

std::vector<std::string> faults_in(Database& database) {
  std::vector<std::string> faults;
  try {
    add_faults(database, faults);
  } catch (const BadInput& error) {  // so damaged that it cannot be looked through
    faults.push_back(error.what());
  }
  return faults;
}

}  // namespace data
