#pragma once

// How the learning rate changes over a run.

#include <cstdint>
#include <string>
#include <vector>

namespace train {

// `factor`: on the learning rate, after the warm-up; `done`: 0 .. 1, the share of the updates after
// it.
struct LrSchedule {
  std::string name;
  double (*factor)(double done);
};

// constant, cosine and linear, which reach 0 at the end, and wsd: warm-up, stable, decay (Hu et
// al., "MiniCPM", 2024), which is constant and falls to 0 in a line over the last tenth, so that
// any checkpoint before it can be decayed later.
const std::vector<LrSchedule>& lr_schedules();
std::vector<std::string> lr_schedule_names();
// Throws BadInput, with all names, when there is none of this name.
const LrSchedule& lr_schedule(const std::string& name);

// Half a cosine from 1 to 0. `done`: 0 .. 1
double cosine_decay(double done);
// The factor on the learning rate at update `step`, counted from 0.
double lr_factor(const LrSchedule& schedule, int64_t step, int64_t warmup, int64_t total);

}  // namespace train
