#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kCompletion;  // laurel completion SHELL

}  // namespace tools
