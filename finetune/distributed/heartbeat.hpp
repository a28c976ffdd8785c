#pragma once

// Signs of life of all ranks, in their common store: each writes its own every second, rank 0 reads
// all and says who is lost, the others read that, and watch rank 0.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace finetune {

// What the watch needs of a store: c10d's, or a map in tests. Every function may throw.
struct SharedStore {
  std::function<void(const std::string& key, const std::string& value)> set;
  std::function<std::vector<std::string>(const std::vector<std::string>& keys)> get;  // all exist
  std::function<bool(const std::string& key)> has;
};

struct RankFailure {
  int64_t rank = 0;  // -1: not known
  std::string what;  // "rank 2 of 4 (node7, process 4711): no sign of life for 45 s: ..."
  int exit_code = 1;
  bool told = false;  // the lost rank lived to say so
};

struct HeartbeatOptions {
  int64_t rank = 0, count = 1;
  double silence = 45;              // seconds
  std::vector<std::string> places;  // of each rank: "node7, process 4711"; rank 0's at least
};

class HeartbeatMonitor {
 public:
  HeartbeatMonitor(SharedStore store, HeartbeatOptions signs);
  ~HeartbeatMonitor();  // stops

  void heartbeat() { ++works_; }
  void begin_work() { ++working_; }
  void end_work() { --working_; }
  void begin_wait() { ++waiting_; }
  void end_wait() { --waiting_; }
  void hurry() { hurried_ = true; }  // a connection broke: somebody must be gone
  void stop();

  std::optional<RankFailure> loss() const;
  // This rank ends for a fault of its own: tells the others, within seconds, and stops.
  void fail(const std::string& what, int exit_code);

 private:
  struct Seen {
    std::string life, work;
    double life_at = 0, work_at = 0;  // when it last changed
  };
  void run();
  bool step();
  void publish_failure();
  std::string sign();
  void look();
  std::optional<RankFailure> silence_of(int64_t rank, const std::string& sign);
  void look_at(int64_t rank, const std::string& sign);
  void settle(const RankFailure& loss);
  std::string name_of(int64_t rank) const;

  SharedStore store_;
  HeartbeatOptions signs_;
  std::vector<Seen> seen_;
  std::atomic<int64_t> works_{0}, working_{0}, waiting_{0};
  std::atomic<bool> hurried_{false};
  bool hurry_seen_ = false;
  int64_t life_ = 0, work_ = 0, works_before_ = -1;
  std::optional<RankFailure> loss_, failure_;
  double looked_at_;  // when the store last answered
  bool stopping_ = false, done_ = false;
  mutable std::mutex mutex_;  // of the five above
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace finetune
