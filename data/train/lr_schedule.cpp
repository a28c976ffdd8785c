#include "data/train/lr_schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"

namespace train {
namespace {

constexpr double kDecayShare = 0.1;  // of wsd

double constant(double) { return 1; }
double linear(double done) { return 1.0 - done; }
double warm_stable_decay(double done) { return std::min(1.0, (1.0 - done) / kDecayShare); }

}  // namespace

double cosine_decay(double done) { return 0.5 * (1.0 + std::cos(std::numbers::pi * done)); }

const std::vector<LrSchedule>& lr_schedules() {
  static const std::vector<LrSchedule> schedules = {{"constant", constant},
                                                    {"cosine", cosine_decay},
                                                    {"linear", linear},
                                                    {"wsd", warm_stable_decay}};
  return schedules;
}

std::vector<std::string> lr_schedule_names() {
  std::vector<std::string> names;
  for (const auto& schedule : lr_schedules()) names.push_back(schedule.name);
  return names;
}

const LrSchedule& lr_schedule(const std::string& name) {
  for (const auto& schedule : lr_schedules()) {
    if (schedule.name == name) return schedule;
  }
  throw data::BadInput("lr_scheduler: expected one of " + data::joined(lr_schedule_names(), ", ") +
                       ", found '" + name + "'");
}

double lr_factor(const LrSchedule& schedule, int64_t step, int64_t warmup, int64_t total) {
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double span = static_cast<double>(std::max<int64_t>(1, total - warmup));
  return schedule.factor(std::clamp(static_cast<double>(step - warmup) / span, 0.0, 1.0));
}

}  // namespace train
