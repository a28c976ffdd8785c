#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kBenchRewards;  // laurel bench-rewards

}  // namespace tools
