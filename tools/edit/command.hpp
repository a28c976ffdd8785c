#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kEdit;  // laurel edit

}  // namespace tools
