#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kInspect;  // laurel inspect

}  // namespace tools
