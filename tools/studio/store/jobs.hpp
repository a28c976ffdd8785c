#pragma once

// Jobs, and what became of them: events that are only added.

#include <cstdint>
#include <string>
#include <vector>

#include "data/database/connection.hpp"

namespace studio {

// States of a job: the last of its events.
inline constexpr const char *kWaiting = "waiting", *kRunning = "running", *kPaused = "paused",
                            *kEnded = "ended", *kFailed = "failed", *kStopped = "stopped",
                            *kInterrupted = "interrupted";

struct StoredJob {
  int64_t id = 0;
  std::string kind;       // the name of its row in job_kinds()
  std::string request{};  // JSON of what was asked for
  std::string folder;     // relative to the studio's folder of work
  std::string state{};
  std::string note{};  // of the state: why it failed
  int64_t at = 0;      // when it was added
};

int64_t add_job(data::Database& store,
                const std::string& kind,
                const std::string& request,
                const std::string& folder);
void add_job_event(data::Database& store,
                   int64_t job,
                   const std::string& state,
                   const std::string& note = "");
// The latest first.
std::vector<StoredJob> jobs(data::Database& store);
// Throws BadInput when the store has none of this number.
StoredJob job_of(data::Database& store, int64_t id);

}  // namespace studio
