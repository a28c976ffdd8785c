#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kSchema;  // laurel schema COMMAND

}  // namespace tools
