#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kPretrain;  // laurel pretrain

}  // namespace tools
