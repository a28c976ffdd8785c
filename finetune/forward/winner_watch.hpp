#pragma once

#include "finetune/run/training_run.hpp"

namespace finetune {

// Says once that the preferred images are denoised worse than by the starting model: their
// likelihood falls too, only slower than that of the others. `figures`: a method's; nothing is said
// where they hold no error of the preferred images and of its start.
struct WinnerWatch {
  bool warned = false;
};
void watch_winner(WinnerWatch& watch, const MetricValues& figures, const Reporter& reporter);

}  // namespace finetune
