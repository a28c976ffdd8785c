#include "data/database/connection.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using data::Access;
using data::Database;

Database numbers_in(const fs::path& file) {
  Database database(file, Access::kCreate);
  database.run("CREATE TABLE IF NOT EXISTS n (value INTEGER) STRICT");
  return database;
}

TEST(Database, ValuesComeBackAsTheyWere) {
  Database database(tests::fresh_folder() / "a.db", Access::kCreate);
  database.run("CREATE TABLE t (i INTEGER, d REAL, s TEXT, n INTEGER) STRICT");
  const std::string text("a 'quoted' ; -- text \0 and a NUL", 32);
  const auto most = std::numeric_limits<int64_t>::max();
  auto add = database.prepare("INSERT INTO t VALUES (?, ?, ?, ?)");
  add.bind(most, 0.1, text, std::optional<int64_t>()).run();
  add.bind(int64_t{-1}, 2.0, "", std::optional<int64_t>(7)).run();
  auto rows = database.prepare("SELECT i, d, s, n FROM t ORDER BY rowid");
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), most);
  EXPECT_EQ(rows.number(1), 0.1);
  EXPECT_EQ(rows.text(2), text);
  EXPECT_TRUE(rows.is_null(3));
  EXPECT_EQ(rows.integer(3), 0);
  ASSERT_TRUE(rows.next());
  EXPECT_EQ(rows.integer(0), -1);
  EXPECT_EQ(rows.text(2), "");
  EXPECT_EQ(rows.integer(3), 7);
  EXPECT_FALSE(rows.next());
  EXPECT_EQ(database.last_row(), 2);
  EXPECT_EQ(database.number("SELECT count(*) FROM t"), 2);
}

TEST(Database, WritesEachTransactionToTheDiskByALog) {
  Database database(tests::fresh_folder() / "a.db", Access::kCreate);
  EXPECT_TRUE(database.has_log());
  EXPECT_EQ(database.number("PRAGMA synchronous"), 2);  // FULL
  EXPECT_EQ(database.number("PRAGMA foreign_keys"), 1);
  EXPECT_EQ(database.number("PRAGMA busy_timeout"), 5000);
}

TEST(Database, ATransactionIsWholeOrNotThere) {
  Database database = numbers_in(tests::fresh_folder() / "a.db");
  {
    data::Transaction transaction(database);
    database.run("INSERT INTO n VALUES (1)");
  }
  EXPECT_EQ(database.number("SELECT count(*) FROM n"), 0);
  data::Transaction transaction(database);
  database.run("INSERT INTO n VALUES (1)");
  transaction.commit();
  EXPECT_EQ(database.number("SELECT count(*) FROM n"), 1);
}

TEST(Database, AFullDiskIsSaidAndLosesNothing) {
  Database database = numbers_in(tests::fresh_folder() / "a.db");
  database.run("INSERT INTO n VALUES (1)");
  database.run("PRAGMA max_page_count=3");  // as a disk without room for a fourth page
  const std::string why = refusal([&] {
    data::Transaction transaction(database);
    database.run("CREATE TABLE t (s TEXT) STRICT");
    database.prepare("INSERT INTO t VALUES (?)").bind(std::string(20000, 'x')).run();
    transaction.commit();
  });
  EXPECT_NE(why.find("a.db: the disk is full; make room"), std::string::npos) << why;
  EXPECT_EQ(database.number("SELECT value FROM n"), 1);
  database.run("INSERT INTO n VALUES (2)");
}

TEST(Database, OtherFilesAreRefused) {
  const fs::path folder = tests::fresh_folder();
  EXPECT_NE(refusal([&] { Database(folder, Access::kWrite); }).find("found a folder"),
            std::string::npos);
  EXPECT_NE(refusal([&] { Database(folder / "none", Access::kWrite); }).find("found no file"),
            std::string::npos);
  EXPECT_NE(refusal([&] { Database(folder / "no" / "none", Access::kCreate); }).find("cannot be"),
            std::string::npos);
  const std::string note(5000, 'x');
  data::write_file(folder / "note.txt", note);
  EXPECT_NE(refusal([&] { Database(folder / "note.txt", Access::kWrite); }).find("another kind"),
            std::string::npos);
  EXPECT_EQ(data::read_file(folder / "note.txt"), note);
}

TEST(Database, AStatementThatIsWrongIsLaurelsFault) {
  Database database = numbers_in(tests::fresh_folder() / "a.db");
  EXPECT_THROW(database.prepare("SELECT nothing FROM n"), std::runtime_error);
  EXPECT_THROW(database.prepare("SELECT ?").bind(), std::logic_error);
  EXPECT_THROW(database.prepare("INSERT INTO n VALUES (?)").bind("text").run(), std::runtime_error);
}

TEST(Database, ToReadItAloneWritesNothing) {
  const fs::path file = tests::fresh_folder() / "a.db";
  numbers_in(file).run("INSERT INTO n VALUES (3)");
  Database database(file, Access::kRead);
  EXPECT_EQ(database.number("SELECT value FROM n"), 3);
  EXPECT_NE(refusal([&] { database.run("INSERT INTO n VALUES (4)"); }).find("may not be written"),
            std::string::npos);
}

TEST(Database, ACopyThatIsMadeWhileOthersWriteIsWhole) {
  const fs::path folder = tests::fresh_folder();
  Database writer = numbers_in(folder / "a.db");
  writer.run("INSERT INTO n VALUES (1)");
  data::Transaction transaction(writer);
  writer.run("INSERT INTO n VALUES (2)");
  Database reader(folder / "a.db", Access::kRead);
  data::back_up(reader, folder / "copy.db");
  transaction.commit();
  Database copy(folder / "copy.db", Access::kRead);
  EXPECT_EQ(copy.number("SELECT count(*) FROM n"), 1);
  EXPECT_TRUE(data::faults_in(copy).empty());
  EXPECT_NE(refusal([&] { data::back_up(writer, folder / "copy.db"); }).find("exists"),
            std::string::npos);
}

TEST(Database, FindsWhatIsWrongInside) {
  const fs::path file = tests::fresh_folder() / "a.db";
  {
    Database database(file, Access::kCreate);
    database.run(
        "CREATE TABLE a (id INTEGER PRIMARY KEY) STRICT;"
        "CREATE TABLE b (a INTEGER REFERENCES a) STRICT;"
        "PRAGMA foreign_keys=OFF; INSERT INTO b VALUES (5)");
    const auto faults = data::faults_in(database);
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0], "row 1 of b refers to a row of a that is missing");
    database.run("INSERT INTO a VALUES (5)");
    EXPECT_TRUE(data::faults_in(database).empty());
    database.run("CREATE TABLE c (s TEXT) STRICT; CREATE INDEX ci ON c (s)");
    for (int i = 0; i < 400; ++i)
      database.prepare("INSERT INTO c VALUES (?)")
          .bind(std::string(40, 'a') + char('a' + i % 26))
          .run();
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  std::string bytes = data::read_file(file);
  for (size_t i = bytes.size() - 4096; i < bytes.size() - 3000; ++i) bytes[i] = '\x5a';
  data::write_file(file, bytes);
  Database damaged(file, Access::kRead);
  EXPECT_FALSE(data::faults_in(damaged).empty());
}

}  // namespace
