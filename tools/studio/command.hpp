#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kVote;    // laurel vote
extern const Command kStudio;  // laurel studio

}  // namespace tools
