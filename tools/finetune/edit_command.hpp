#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kFinetuneEdit;  // laurel finetune edit

}  // namespace tools
