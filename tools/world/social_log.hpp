#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kWorldSocialLog;  // laurel world social-log

}  // namespace tools
