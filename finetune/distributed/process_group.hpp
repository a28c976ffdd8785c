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
struct Ranks {
  int64_t rank = 0, count = 1;
  std::shared_ptr<Group> group{};  // empty: alone
  int64_t local_rank = 0;          // among those of this machine
};

struct RankLimits {      // seconds
  double meeting = 300;  // until all ranks are there
  double silence = 45;   // without a sign of life, or of work, after which a rank is lost
};

// The run ends for something that happened at another rank.
class RankLost : public std::runtime_error {
 public:
  RankLost(const std::string& what, int code, bool is_deputy)
      : std::runtime_error(what), exit_code(code), deputy(is_deputy) {}
  int exit_code;  // of this process: 2 where the other rank refused its input, else 1
  bool deputy;    // this process saves what was done and tells the user; exactly one does
};

// Meets the other ranks. `facts`: `key = value` a line, which must be the same everywhere. Alone:
// returns at once. Throws BadInput that names the ranks that did not come within limits.meeting, or
// the first fact that differs and the rank; RankLost where another rank says so.
Ranks meet(const Launch& launch, const std::string& facts, const RankLimits& limits);
// When all is done: waits for the others, and closes the connections.
void leave(Ranks& ranks);
// After an exception: tells the others what happened here, lets rank 0 save, and ends the process.
[[noreturn]] void end_all(const Ranks& ranks, const std::string& what, int exit_code);

// Everything below works alone too, and throws RankLost where a rank is lost.

// Sums over the ranks, in place; contiguous, fp32, fp64, int64 or uint8. Every rank gets the same
// bits.
void add_up(const Ranks& ranks, const at::Tensor& tensor);
// Several sums at once, begun in order.
void add_up_all(const Ranks& ranks, const std::vector<at::Tensor>& tensors);
// The value of rank `from` at all ranks, in place; the same kinds of tensor.
void send_from(const Ranks& ranks, int64_t from, const at::Tensor& tensor);
bool on_any(const Ranks& ranks, bool here);
// Each rank's text, in order.
std::vector<std::string> texts_of(const Ranks& ranks, const std::string& here);
// Throws BadInput at every rank where a rank's value is not that of rank 0; `remedy`: what to do.
void expect_same(const Ranks& ranks,
                 const std::string& what,
                 const std::string& here,
                 const std::string& remedy);

// What this rank has exchanged since it met the others: bytes of the tensors (a sum of B bytes over
// R ranks sends 2 (R - 1) / R B of them), and seconds in which it waited for that.
struct Exchanged {
  double bytes = 0, seconds = 0;
};
Exchanged exchanged(const Ranks& ranks);

// A piece of work is done: a batch, a step.
void note_work(const Ranks& ranks);
// While it lives, this rank waits for something that may take its time: a reward server.
class Outside {
 public:
  explicit Outside(const Ranks& ranks);
  ~Outside();
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  std::shared_ptr<Group> group_;
};
// While it lives, this rank is lost when note_work is not called for limits.silence, but for what
// it waits for. Otherwise (loading, writing) it is enough that the process lives.
class Working {
 public:
  explicit Working(const Ranks& ranks);
  ~Working();
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;

 private:
  std::shared_ptr<Group> group_;
};

}  // namespace finetune
