#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kBench;  // laurel bench

}  // namespace tools
