#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kRank;  // laurel rank

}  // namespace tools
