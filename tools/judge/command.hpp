#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kJudge;  // laurel judge

}  // namespace tools
