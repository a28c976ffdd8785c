#pragma once

#include "tools/cli/command.hpp"

namespace tools {

// Every command, in the order of `laurel --help`.
const CommandList& all_commands();

}  // namespace tools
