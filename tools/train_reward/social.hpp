#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainSocial;  // laurel train-reward social

}  // namespace tools
