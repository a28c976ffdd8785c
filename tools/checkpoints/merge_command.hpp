#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kMerge;  // laurel merge

}  // namespace tools
