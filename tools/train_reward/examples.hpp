#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kTrainExamples;  // laurel train-reward examples

}  // namespace tools
