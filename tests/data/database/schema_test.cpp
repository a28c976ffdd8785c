#include "data/database/schema.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using data::Access;
using data::Schema;

Schema first() {
  return {.what = "a list", .application = 77, .migrations = {"CREATE TABLE t (a INTEGER) STRICT"}};
}
Schema second() {
  Schema schema = first();
  schema.migrations.push_back("ALTER TABLE t ADD COLUMN b INTEGER; UPDATE t SET b = a + 1");
  return schema;
}

TEST(Schema, ANewFileIsOfTheNewestVersion) {
  const fs::path file = tests::fresh_folder() / "a.db";
  auto made = data::open_database(file, second(), Access::kCreate);
  made.run("INSERT INTO t VALUES (1, 2)");
  EXPECT_EQ(made.number("PRAGMA user_version"), 2);
  EXPECT_EQ(made.number("PRAGMA application_id"), 77);
  EXPECT_FALSE(fs::exists(file.string() + ".before-v2"));
}

TEST(Schema, AnOlderFileIsCopiedAndThenMigrated) {
  const fs::path file = tests::fresh_folder() / "a.db";
  data::open_database(file, first(), Access::kCreate).run("INSERT INTO t VALUES (4)");
  EXPECT_NE(refusal([&] { data::open_database(file, second(), Access::kRead); }).find("version 1"),
            std::string::npos);
  auto migrated = data::open_database(file, second(), Access::kWrite);
  EXPECT_EQ(migrated.number("SELECT b FROM t"), 5);
  auto copy = data::open_database(file.string() + ".before-v2", first(), Access::kRead);
  EXPECT_EQ(copy.number("SELECT a FROM t"), 4);
}

TEST(Schema, AMigrationThatFailsChangesNothing) {
  const fs::path file = tests::fresh_folder() / "a.db";
  data::open_database(file, first(), Access::kCreate).run("INSERT INTO t VALUES (4)");
  Schema wrong = first();
  wrong.migrations.push_back("ALTER TABLE t ADD COLUMN b INTEGER; UPDATE t SET c = 1");
  EXPECT_THROW(data::open_database(file, wrong, Access::kWrite), std::runtime_error);
  auto old = data::open_database(file, first(), Access::kWrite);
  EXPECT_EQ(old.number("SELECT a FROM t"), 4);
  EXPECT_EQ(old.number("SELECT count(*) FROM pragma_table_info('t')"), 1);
  EXPECT_EQ(data::open_database(file, second(), Access::kWrite).number("SELECT b FROM t"), 5);
}

TEST(Schema, NewerAndOtherFilesAreRefusedAndStayAsTheyAre) {
  const fs::path folder = tests::fresh_folder();
  { data::open_database(folder / "new.db", second(), Access::kCreate); }
  const std::string before = data::read_file(folder / "new.db");
  const std::string why =
      refusal([&] { data::open_database(folder / "new.db", first(), Access::kWrite); });
  EXPECT_NE(why.find("new.db: is of version 2, this laurel knows a list up to version 1"),
            std::string::npos)
      << why;
  EXPECT_EQ(data::read_file(folder / "new.db"), before);
  { data::Database(folder / "other.db", Access::kCreate).run("CREATE TABLE x (y INTEGER)"); }
  EXPECT_NE(refusal([&] {
              data::open_database(folder / "other.db", first(), Access::kWrite);
            }).find("expected a list, found a database of another program"),
            std::string::npos);
}

}  // namespace
