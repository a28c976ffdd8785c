#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kScore;  // laurel score

}  // namespace tools
