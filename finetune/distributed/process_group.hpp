#pragma once

// Several processes, the ranks, that work on one run: how they meet, what they add up, and how the
// loss of one ends the others. libtorch's c10d: a TCPStore to meet at, Gloo for sums.

#include <ATen/core/Tensor.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "finetune/distributed/launch.hpp"

namespace finetune {

struct Group;  // the connections
struct ProcessGroup {
  int64_t rank = 0, count = 1;
  std::shared_ptr<Group> group{};  // empty: alone
  int64_t local_rank = 0;          // among those of this machine
};

struct ProcessGroupTimeouts {  // seconds
  double meeting = 300;        // until all ranks are there
  double silence = 45;         // without a sign of life, or of work, after which a rank is lost
};

// The run ends for something that happened at another rank.
class RankFailed : public std::runtime_error {
 public:
  RankFailed(const std::string& what, int code, bool is_deputy)
      : std::runtime_error(what), exit_code(code), deputy(is_deputy) {}
  int exit_code;  // of this process: 2 where the other rank refused its input, else 1
  bool deputy;    // this process saves what was done and tells the user; exactly one does
};

// Meets the other ranks. `facts`: `key = value` a line, which must be the same everywhere. Alone:
// returns at once. Throws BadInput that names the ranks that did not come within limits.meeting, or
// the first fact that differs and the rank; RankFailed where another rank says so.
ProcessGroup init_process_group(const Launch& launch,
                                const std::string& facts,
                                const ProcessGroupTimeouts& limits);
// When all is done: waits for the others, and closes the connections.
void destroy_process_group(ProcessGroup& ranks);
// After an exception: tells the others what happened here, lets rank 0 save, and ends the process.
[[noreturn]] void abort_process_group(const ProcessGroup& ranks,
                                      const std::string& what,
                                      int exit_code);

// Everything below works alone too, and throws RankFailed where a rank is lost.

// Sums over the ranks, in place; contiguous, fp32, fp64, int64 or uint8. Every rank gets the same
// bits.
void all_reduce_sum(const ProcessGroup& ranks, const at::Tensor& tensor);
// Several sums at once, begun in order.
void all_reduce_sum_each(const ProcessGroup& ranks, const std::vector<at::Tensor>& tensors);
// The value of rank `from` at all ranks, in place; the same kinds of tensor.
void broadcast(const ProcessGroup& ranks, int64_t from, const at::Tensor& tensor);
bool any_rank(const ProcessGroup& ranks, bool here);
// Each rank's text, in order.
std::vector<std::string> all_gather_text(const ProcessGroup& ranks, const std::string& here);
// Throws BadInput at every rank where a rank's value is not that of rank 0; `remedy`: what to do.
void check_equal_on_ranks(const ProcessGroup& ranks,
                          const std::string& what,
                          const std::string& here,
                          const std::string& remedy);

// What this rank has exchanged since it met the others: bytes of the tensors (a sum of B bytes over
// R ranks sends 2 (R - 1) / R B of them), and seconds in which it waited for that.
struct CommunicationStats {
  double bytes = 0, seconds = 0;
};
CommunicationStats communication_stats(const ProcessGroup& ranks);

// A piece of work is done: a batch, a step.
void heartbeat(const ProcessGroup& ranks);
// While it lives, this rank waits for something that may take its time: a reward server.
class WaitGuard {
 public:
  explicit WaitGuard(const ProcessGroup& ranks);
  ~WaitGuard();
  WaitGuard(const WaitGuard&) = delete;
  WaitGuard& operator=(const WaitGuard&) = delete;

 private:
  std::shared_ptr<Group> group_;
};
// While it lives, this rank is lost when heartbeat is not called for limits.silence, but for what
// it waits for. Otherwise (loading, writing) it is enough that the process lives.
class ActivityGuard {
 public:
  explicit ActivityGuard(const ProcessGroup& ranks);
  ~ActivityGuard();
  ActivityGuard(const ActivityGuard&) = delete;
  ActivityGuard& operator=(const ActivityGuard&) = delete;

 private:
  std::shared_ptr<Group> group_;
};

}  // namespace finetune
