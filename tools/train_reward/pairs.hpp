#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainPairs;  // laurel train-reward pairs

}  // namespace tools
