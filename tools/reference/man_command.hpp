#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kMan;  // laurel man [COMMAND]

}  // namespace tools
