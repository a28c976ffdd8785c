#include "finetune/run/reward_hacking.hpp"

namespace finetune {

HackingState observe(RewardHackingMonitor& watch, const EvalGain& now, int64_t step) {
  HackingState verdict;
  verdict.best = now.held_out > watch.best.held_out;
  verdict.hacking =
      now.trained > watch.best.trained && now.held_out < watch.best.held_out - watch.margin;
  watch.in_a_row = verdict.hacking ? watch.in_a_row + 1 : 0;
  if (verdict.best) {
    watch.best = now;
    watch.best_step = step;
  }
  return verdict;
}

}  // namespace finetune
