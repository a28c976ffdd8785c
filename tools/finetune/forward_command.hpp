#pragma once

#include "tools/cli/command.hpp"

namespace tools {

// laurel finetune raft, rwr, nft, dpo, ...: a command for each of finetune::forward_methods().
const CommandList& forward_commands();

}  // namespace tools
