#pragma once

// SQLite databases.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

namespace data {

// A statement that is compiled. It refers to its database and must not outlive it.
class Statement {
 public:
  Statement(Statement&&) noexcept = default;
  Statement& operator=(Statement&&) noexcept = default;

  // Sets all parameters, `?` in their order: numbers, texts, nullopt for NULL. Starts anew.
  template <class... Values>
  Statement& bind(const Values&... values) {
    restart(sizeof...(values));
    int place = 0;
    (bind_at(++place, values), ...);
    return *this;
  }
  // Goes on to the next row. False: there is none.
  bool next();
  // Runs to the end.
  void run();

  // Columns of the row, from 0. NULL is 0, "" and false.
  bool is_null(int column) const;
  int64_t integer(int column) const;
  double number(int column) const;
  std::string text(int column) const;  // bytes too

 private:
  friend class Database;
  struct Close {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  void restart(size_t parameters);
  void bind_at(int place, int64_t value);
  void bind_at(int place, double value);
  void bind_at(int place, std::string_view value);
  void bind_at(int place, const std::optional<int64_t>& value);
  std::unique_ptr<sqlite3_stmt, Close> statement_;
};

enum class Access { kRead, kWrite, kCreate };  // kCreate: makes a file that is missing

// A connection, for one thread at a time. Foreign keys hold, a statement waits up to five seconds
// for another process. A file that may be written has a write-ahead log where its file system
// allows that, and each transaction is on the disk when it ends (synchronous=FULL).
//
// Throws BadInput naming the file when the disk is full or fails, the file is no database, is
// damaged or may not be written, or another process writes to it; std::runtime_error for a
// statement that SQLite refuses.
class Database {
 public:
  Database(const std::filesystem::path& file, Access access);

  Statement prepare(const std::string& sql);
  // Statements without parameters, one after the other.
  void run(const std::string& sql);
  // The one number of a query: a count, a pragma.
  int64_t number(const std::string& sql);
  // The rowid of the last INSERT.
  int64_t last_row() const;
  // Whether the file has a write-ahead log. Network file systems do not allow one.
  bool has_log();

  const std::filesystem::path& file() const { return file_; }

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> handle_;
};

// A transaction that may write, from its beginning; undone where it is not committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

// A copy as of now, also while others write: complete under `copy` or not there. Throws BadInput
// when `copy` exists.
void back_up(Database& database, const std::filesystem::path& copy);

// What is wrong inside the file: damaged pages, references to rows that are missing; a line each.
std::vector<std::string> faults_in(Database& database);

}  // namespace data
