#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kEvalPairs;  // laurel eval-pairs

}  // namespace tools
