#pragma once

// How the studio looks at pictures: a CLIP and the rewards at hand.

#include <string>

#include "tools/cli/device.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/studio/voting/learner.hpp"

namespace studio {

struct LookConfig {
  std::string rewards = "auto";
  int64_t batch_size = 16;
  tools::RewardSourceConfig sources;
  tools::DeviceConfig device;
};
// Declares --rewards, --clip and the options of rewards and devices.
void declare_look(tools::Options& options, LookConfig& config);

// prompts: whether all pictures have one; rewards that need it are left out otherwise. Throws
// BadInput when no CLIP is at hand or a reward is unknown.
Learner::Look make_look(const LookConfig& config, bool prompts);

// The same, which looks at each picture once, by its id in the store.
Learner::Look remembering(Learner::Look look);

}  // namespace studio
