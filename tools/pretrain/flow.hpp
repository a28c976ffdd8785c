#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kPretrainFlow;  // laurel pretrain flow

}  // namespace tools
