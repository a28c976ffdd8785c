#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kPretrainVae;  // laurel pretrain vae

}  // namespace tools
