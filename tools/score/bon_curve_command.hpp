#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kBonCurve;  // laurel bon-curve

}  // namespace tools
