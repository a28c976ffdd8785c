#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kWorld;  // laurel world

}  // namespace tools
