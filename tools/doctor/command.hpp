#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kDoctor;  // laurel doctor

}  // namespace tools
