#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kPretrainClip;  // laurel pretrain clip

}  // namespace tools
