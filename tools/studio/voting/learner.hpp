#pragma once

// Looks at the pictures and learns from the answers, beside the voting: a thread of its own.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/studio/voting/head.hpp"
#include "tools/studio/voting/progress_report.hpp"

namespace studio {

class Learner {
 public:
  // The features of some pictures, in their order.
  using Look = std::function<Features(const std::vector<StoredImage>& images)>;
  // What the studio knows at the moment of the call.
  struct Known {
    std::vector<Person> people;
    std::vector<StandingVote> votes;
  };
  Learner(const Pool& pool, Look look, std::function<Known()> known);
  ~Learner();  // ends after the batch or the fit that runs

  // Learns anew soon: answers were given or taken back.
  void wake();
  // What the answers about pairs would tell of this person; empty until something was learnt.
  Worth worth(int64_t person) const;
  // Pictures that were looked at, and why that ended early; "": it did not.
  struct Sight {
    int64_t seen = 0, all = 0;
    std::string fault;
  };
  Sight sight() const;
  // How well the answers that only measure are predicted; empty until something was learnt.
  std::shared_ptr<const Report> report() const;

 private:
  void run(const std::stop_token& stop);
  bool look_at_all(const std::stop_token& stop);
  void learn();

  const Pool& pool_;
  Look look_;
  std::function<Known()> known_;
  Features features_;  // of the thread alone
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool awake_ = true;
  Sight sight_;
  std::shared_ptr<const Head> head_;
  std::shared_ptr<const Report> report_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace studio
