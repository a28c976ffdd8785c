#include "finetune/run/reward_hacking.hpp"

namespace finetune {

Verdict observe(Watch& watch, const Standing& now, int64_t step) {
  Verdict verdict;
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
