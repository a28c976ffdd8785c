#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kPairs;  // laurel pairs

}  // namespace tools
