#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kDistill;  // laurel distill

}  // namespace tools
