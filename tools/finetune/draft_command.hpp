#pragma once

#include "tools/cli/command.hpp"

namespace tools {

// laurel finetune draft, alignprop, refl: a command for each of finetune::draft_methods().
const CommandList& draft_commands();

}  // namespace tools
