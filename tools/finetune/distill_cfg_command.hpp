#pragma once

#include "tools/cli/command.hpp"

namespace tools {

// laurel finetune distill-cfg
extern const Command kDistillCfg;

}  // namespace tools
