#pragma once

#include <cstdint>

#include "finetune/distributed/process_group.hpp"

namespace finetune {

// Images of a round by its seconds and by the processes, so that runs of any size compare.
inline double images_per_second(int64_t images, double seconds, const ProcessGroup& ranks) {
  return static_cast<double>(images) / (seconds * static_cast<double>(ranks.count));
}

}  // namespace finetune
