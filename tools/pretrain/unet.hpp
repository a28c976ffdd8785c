#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kPretrainUnet;  // laurel pretrain unet

}  // namespace tools
