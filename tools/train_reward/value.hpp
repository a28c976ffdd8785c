#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainValue;  // laurel train-reward value

}  // namespace tools
