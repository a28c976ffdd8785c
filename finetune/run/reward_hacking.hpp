#pragma once

#include <cstdint>
#include <vector>

#include "finetune/run/evaluate.hpp"

namespace finetune {

// Watches for a reward that is gamed: the trained one goes on rising while the held-out ones fall.
struct RewardHackingMonitor {
  double margin = 0.1;  // standard deviations of the base that count as a fall
  EvalGain best;        // the evaluation with the highest held-out standing; the start is {0, 0}
  int64_t best_step = 0;
  int64_t in_a_row = 0;  // evaluations in which the two parted
};

struct HackingState {
  bool best = false;     // the highest held-out standing so far
  bool hacking = false;  // trained above the best's, held-out more than the margin below it
};
HackingState observe(RewardHackingMonitor& watch, const EvalGain& now, int64_t step);

}  // namespace finetune
