#pragma once

// Runs one job at a time as a process of its own, and keeps what became of it in the store.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/system/child_process.hpp"
#include "tools/studio/store/jobs.hpp"
#include "tools/studio/work/job_kinds.hpp"

namespace studio {

class Workshop {
 public:
  // mutex: of the store; the calls below expect that it is held. finished: called with it held,
  // after a job has ended well. program: laurel. A job that an earlier studio left running counts
  // as interrupted.
  Workshop(data::Database& store,
           std::mutex& mutex,
           WorkSettings settings,
           std::string program,
           std::function<void(const StoredJob&)> finished);
  // Lets the job save and end. The mutex must not be held.
  ~Workshop();

  // -> its id. Throws BadInput when a job runs, and as JobKind::arguments.
  int64_t start(const std::string& kind, const JobRequest& request);
  // Goes on with a paused, stopped, interrupted or failed one.
  void resume(int64_t job);
  // Lets it save after its round and end, as kPaused or kStopped. Throws BadInput when it does not
  // run.
  void end(int64_t job, const char* as);

  std::filesystem::path folder_of(const StoredJob& job) const {
    return settings_.folder / job.folder;
  }
  const WorkSettings& settings() const { return settings_; }
  // The last lines of what the job said.
  std::string log_tail(const StoredJob& job) const;

 private:
  StoredJob job_of(int64_t id) const;
  void launch(const StoredJob& job, const JobRequest& request, bool resumed);
  void watch(const std::stop_token& stop);
  void settle(int exit_code);

  data::Database& store_;
  std::mutex& mutex_;
  const WorkSettings settings_;
  const std::string program_;
  const std::function<void(const StoredJob&)> finished_;
  std::unique_ptr<data::ChildProcess> child_;
  int64_t running_ = 0;  // its job
  std::string end_as_;   // what was asked for; "": nothing
  std::jthread watcher_;
};

}  // namespace studio
