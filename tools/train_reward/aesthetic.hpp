#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainAesthetic;  // laurel train-reward aesthetic

}  // namespace tools
