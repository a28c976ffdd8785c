#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kFinetune;  // laurel finetune

}  // namespace tools
