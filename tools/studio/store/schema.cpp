#include "tools/studio/store/schema.hpp"

#include <ctime>

#include "data/database/schema.hpp"

namespace studio {
namespace {

// An answer may supersede one of its own pair only, and each at most once.
constexpr const char* kFirst = R"(
CREATE TABLE person (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  at INTEGER NOT NULL
) STRICT;
CREATE TABLE prompt (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE picture_set (
  id INTEGER PRIMARY KEY,
  run TEXT NOT NULL,
  name TEXT NOT NULL,
  UNIQUE (run, name)
) STRICT;
CREATE TABLE image (
  id INTEGER PRIMARY KEY,
  sha256 TEXT NOT NULL,
  prompt INTEGER NOT NULL REFERENCES prompt,
  picture_set INTEGER NOT NULL REFERENCES picture_set,
  path TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  UNIQUE (sha256, prompt)
) STRICT;
CREATE INDEX images_by_path ON image (path);
CREATE TABLE pair_shown (
  id INTEGER PRIMARY KEY,
  person INTEGER NOT NULL REFERENCES person,
  left_image INTEGER NOT NULL REFERENCES image,
  right_image INTEGER NOT NULL REFERENCES image,
  purpose TEXT NOT NULL CHECK (purpose IN ('learn', 'held_out', 'proof')),
  repeats INTEGER UNIQUE REFERENCES pair_shown,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX pairs_of_person ON pair_shown (person);
CREATE TABLE vote (
  id INTEGER PRIMARY KEY,
  pair INTEGER NOT NULL REFERENCES pair_shown,
  answer TEXT NOT NULL
    CHECK (answer IN ('left', 'right', 'tie', 'both_bad', 'skip', 'undone')),
  supersedes INTEGER UNIQUE REFERENCES vote,
  after_reveal INTEGER NOT NULL,
  milliseconds INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX votes_of_pair ON vote (pair);
CREATE UNIQUE INDEX first_votes ON vote (pair) WHERE supersedes IS NULL;
CREATE TABLE reveal (
  pair INTEGER PRIMARY KEY REFERENCES pair_shown,
  at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER votes_stay BEFORE UPDATE ON vote BEGIN
  SELECT RAISE(ABORT, 'votes are only added');
END;
CREATE TRIGGER votes_are_kept BEFORE DELETE ON vote BEGIN
  SELECT RAISE(ABORT, 'votes are only added');
END;
CREATE VIEW standing AS
  SELECT vote.id AS vote, pair_shown.id AS pair, person, left_image, right_image, purpose, repeats,
         answer, after_reveal, milliseconds, vote.at AS at
  FROM vote JOIN pair_shown ON pair_shown.id = vote.pair
  WHERE answer <> 'undone'
    AND NOT EXISTS (SELECT 1 FROM vote AS later WHERE later.supersedes = vote.id);
)";

constexpr const char* kJobs = R"(
CREATE TABLE job (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  request TEXT NOT NULL,
  folder TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE TABLE job_event (
  id INTEGER PRIMARY KEY,
  job INTEGER NOT NULL REFERENCES job,
  state TEXT NOT NULL
    CHECK (state IN ('running', 'paused', 'ended', 'failed', 'stopped', 'interrupted')),
  note TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
CREATE INDEX events_of_job ON job_event (job);
)";

// Jobs may wait; and which of a training's models counts, by choices that are only added.
constexpr const char* kModels = R"(
CREATE TABLE job_event_now (
  id INTEGER PRIMARY KEY,
  job INTEGER NOT NULL REFERENCES job,
  state TEXT NOT NULL
    CHECK (state IN ('waiting', 'running', 'paused', 'ended', 'failed', 'stopped', 'interrupted')),
  note TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
INSERT INTO job_event_now SELECT id, job, state, note, at FROM job_event;
DROP TABLE job_event;
ALTER TABLE job_event_now RENAME TO job_event;
CREATE INDEX events_of_job ON job_event (job);
CREATE TABLE model_choice (
  id INTEGER PRIMARY KEY,
  job INTEGER REFERENCES job,
  step INTEGER NOT NULL,
  at INTEGER NOT NULL
) STRICT;
)";

const data::Schema& schema() {
  static const data::Schema made{.what = "a studio's store",
                                 .application = 0x6c617572,  // "laur"
                                 .migrations = {kFirst, kJobs, kModels}};
  return made;
}

}  // namespace

Store open_store(const std::filesystem::path& file) {
  data::FolderLock lock = data::FolderLock::of_file(file);
  return {std::move(lock), data::open_database(file, schema(), data::Access::kCreate)};
}

data::Database read_store(const std::filesystem::path& file) {
  return data::open_database(file, schema(), data::Access::kRead);
}

int64_t now() { return static_cast<int64_t>(std::time(nullptr)); }

}  // namespace studio
