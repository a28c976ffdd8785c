#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kSample;  // laurel sample

}  // namespace tools
