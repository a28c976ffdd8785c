#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainJudgeStudent;  // laurel train-reward lvlm

}  // namespace tools
