#pragma once

#include <vector>

#include "rewards/clip/model.hpp"
#include "tools/bench/stages.hpp"

namespace bench {

// The aesthetic reward on this CLIP with one head and with five members, random weights. The CLIP
// must outlive the stages.
std::vector<StagePlan> reward_stages(const rewards::Clip& clip, const StageOptions& options);

}  // namespace bench
