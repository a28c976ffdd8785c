#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainReward;  // laurel train-reward

}  // namespace tools
