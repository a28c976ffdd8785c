#include "tools/studio/store/votes.hpp"

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/unicode/utf8.hpp"
#include "tools/studio/store/schema.hpp"

namespace studio {
namespace {

constexpr size_t kLongestName = 200;  // bytes
constexpr const char* kPairColumns =
    "pair_shown.id, person, left_image, right_image, purpose, repeats";

ShownPair pair_in(const data::Statement& row, int first = 0) {
  ShownPair pair{.id = row.integer(first),
                 .person = row.integer(first + 1),
                 .left = row.integer(first + 2),
                 .right = row.integer(first + 3),
                 .purpose = row.text(first + 4)};
  if (!row.is_null(first + 5)) pair.repeats = row.integer(first + 5);
  return pair;
}

std::vector<ShownPair> pairs_in(data::Statement rows) {
  std::vector<ShownPair> pairs;
  while (rows.next()) pairs.push_back(pair_in(rows));
  return pairs;
}

// The newest row about a pair; "": none.
struct Newest {
  std::optional<int64_t> id;
  std::string answer;
};
Newest newest_vote(data::Database& store, int64_t pair) {
  auto row = store.prepare("SELECT id, answer FROM vote WHERE pair = ? ORDER BY id DESC LIMIT 1");
  row.bind(pair);
  if (!row.next()) return {};
  return {row.integer(0), row.text(1)};
}

void add_vote(data::Database& store,
              int64_t pair,
              const std::string& answer,
              const std::optional<int64_t>& supersedes,
              int64_t milliseconds) {
  store
      .prepare(
          "INSERT INTO vote (pair, answer, supersedes, after_reveal, milliseconds, at) VALUES (?, "
          "?, ?, (SELECT count(*) FROM reveal WHERE pair = ?), ?, ?)")
      .bind(pair, answer, supersedes, pair, milliseconds, now())
      .run();
}

}  // namespace

std::vector<Person> people(data::Database& store) {
  std::vector<Person> found;
  auto rows = store.prepare("SELECT id, name FROM person ORDER BY id");
  while (rows.next()) found.push_back({rows.integer(0), rows.text(1)});
  return found;
}

Person person_named(data::Database& store, const std::string& given) {
  const std::string name = data::trimmed(given);
  if (name.empty() || name.size() > kLongestName || data::printable(name) != name)
    throw data::BadInput(
        "name: expected 1 to 200 bytes of text without control characters, found '" +
        data::printable(data::shortened(name, 40)) + "'");
  store.prepare("INSERT INTO person (name, at) VALUES (?, ?) ON CONFLICT DO NOTHING")
      .bind(name, now())
      .run();
  auto row = store.prepare("SELECT id FROM person WHERE name = ?");
  row.bind(name).next();
  return {row.integer(0), name};
}

int64_t record_pair(data::Database& store, const ShownPair& pair) {
  store
      .prepare(
          "INSERT INTO pair_shown (person, left_image, right_image, purpose, repeats, at) VALUES "
          "(?, ?, ?, ?, ?, ?)")
      .bind(pair.person, pair.left, pair.right, pair.purpose, pair.repeats, now())
      .run();
  return store.last_row();
}

std::vector<ShownPair> pairs_of(data::Database& store, int64_t person) {
  auto rows = store.prepare("SELECT " + std::string(kPairColumns) +
                            " FROM pair_shown WHERE person = ? ORDER BY id");
  rows.bind(person);
  return pairs_in(std::move(rows));
}

std::vector<ShownPair> unanswered(data::Database& store, int64_t person) {
  auto rows = store.prepare("SELECT " + std::string(kPairColumns) +
                            " FROM pair_shown WHERE person = ? AND NOT EXISTS (SELECT 1 FROM "
                            "standing WHERE standing.pair = pair_shown.id) ORDER BY id");
  rows.bind(person);
  return pairs_in(std::move(rows));
}

std::vector<ShownPair> measured_of_others(data::Database& store, int64_t person) {
  auto rows = store.prepare("SELECT " + std::string(kPairColumns) +
                            " FROM pair_shown WHERE purpose = 'held_out' AND person <> ? AND "
                            "repeats IS NULL AND EXISTS (SELECT 1 FROM vote WHERE vote.pair = "
                            "pair_shown.id) ORDER BY id");
  rows.bind(person);
  return pairs_in(std::move(rows));
}

const std::vector<std::string>& answers() {
  static const std::vector<std::string> words{"left", "right", "tie", "both_bad", "skip"};
  return words;
}

bool record_vote(data::Database& store,
                 int64_t pair,
                 const std::string& answer,
                 int64_t milliseconds) {
  if (std::find(answers().begin(), answers().end(), answer) == answers().end())
    throw data::BadInput("answer: expected " + data::joined(answers(), ", ") + ", found '" +
                         data::printable(data::shortened(answer, 40)) + "'");
  data::Transaction transaction(store);
  const Newest newest = newest_vote(store, pair);
  if (newest.id && newest.answer != "undone") return false;
  add_vote(store, pair, answer, newest.id, milliseconds);
  transaction.commit();
  return true;
}

std::optional<ShownPair> undo_vote(data::Database& store, int64_t person, bool proof) {
  data::Transaction transaction(store);
  auto row = store.prepare(
      "SELECT vote, pair, person, left_image, right_image, purpose, repeats FROM standing WHERE "
      "person = ? AND (purpose = 'proof') = ? ORDER BY vote DESC LIMIT 1");
  row.bind(person, int64_t{proof});
  if (!row.next()) return std::nullopt;
  const ShownPair pair = pair_in(row, 1);
  add_vote(store, pair.id, "undone", row.integer(0), 0);
  row.next();  // ends the query
  transaction.commit();
  return pair;
}

void record_reveal(data::Database& store, int64_t pair) {
  store.prepare("INSERT INTO reveal (pair, at) VALUES (?, ?) ON CONFLICT DO NOTHING")
      .bind(pair, now())
      .run();
}

std::vector<StandingVote> standing_votes(data::Database& store, int64_t person) {
  auto rows = store.prepare(
      "SELECT vote, pair, person, left_image, right_image, purpose, repeats, answer, milliseconds, "
      "at FROM standing WHERE after_reveal = 0 AND (? = 0 OR person = ?) ORDER BY vote");
  rows.bind(person, person);
  std::vector<StandingVote> votes;
  while (rows.next())
    votes.push_back({.vote = rows.integer(0),
                     .pair = pair_in(rows, 1),
                     .answer = rows.text(7),
                     .milliseconds = rows.integer(8),
                     .at = rows.integer(9)});
  return votes;
}

}  // namespace studio
