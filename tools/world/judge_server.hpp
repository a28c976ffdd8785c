#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kWorldJudgeServer;  // laurel world judge-server

}  // namespace tools
