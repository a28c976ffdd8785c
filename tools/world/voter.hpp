#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kWorldVoter;  // laurel world voter

}  // namespace tools
