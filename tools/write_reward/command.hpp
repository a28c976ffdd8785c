#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kWriteReward;  // laurel write-reward

}  // namespace tools
