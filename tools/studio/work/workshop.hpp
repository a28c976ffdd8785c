#pragma once

// Runs one job at a time as a process of its own, and a short one beside it, and keeps what became
// of them in the store.

#include <deque>
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
  // Lets the jobs save and end. The mutex must not be held.
  ~Workshop();

  // -> its id. A job that may run beside another waits where memory does not allow that. Throws
  // BadInput when a job runs, when too many wait, and as JobKind::commands.
  int64_t start(const std::string& kind, const JobRequest& request);
  // Goes on with a paused, stopped, interrupted or failed one.
  void resume(int64_t job);
  // Lets it save after its round and end, as kPaused or kStopped; one that waits is dropped. Throws
  // BadInput when it does neither.
  void end(int64_t job, const char* as);

  std::filesystem::path folder_of(const StoredJob& job) const {
    return settings_.folder / job.folder;
  }
  const WorkSettings& settings() const { return settings_; }
  // The last lines of what the job said.
  std::string log_tail(const StoredJob& job) const;
  // Bytes that its process holds now; 0: it does not run.
  double memory_of(int64_t job) const;
  // Sets what memory is free, in bytes, in place of the machine's; for tests.
  void set_free_memory(std::function<double()> free) { free_memory_ = std::move(free); }

 private:
  // A job that runs, with its commands that are still to come.
  struct Running {
    int64_t job = 0;
    std::deque<Command> next{};
    std::unique_ptr<data::ChildProcess> child{};
    std::string end_as{};  // what was asked for; "": nothing
  };
  using Place = std::unique_ptr<Running>;  // null: nothing runs there

  std::deque<Command> commands_of(const StoredJob& job, const JobRequest& request, bool resumed);
  void launch(Place& place, int64_t job, std::deque<Command> commands);
  void run_next(Running& running);
  std::string why_not_now() const;
  void begin_waiting();
  void watch(const std::stop_token& stop);
  void watch(Place& place);
  void settle(Place& place, int exit_code);
  Running* running(int64_t job) const;

  data::Database& store_;
  std::mutex& mutex_;
  const WorkSettings settings_;
  const std::string program_;
  const std::function<void(const StoredJob&)> finished_;
  std::function<double()> free_memory_;
  Place main_, beside_;
  struct Waiting {
    int64_t job = 0;
    std::deque<Command> commands{};
  };
  std::deque<Waiting> waiting_;
  std::jthread watcher_;
};

}  // namespace studio
