#pragma once

#include "tools/cli/command.hpp"

namespace tools {

extern const Command kWorldEdits;       // laurel world edits
extern const Command kWorldEditScores;  // laurel world edit-scores

}  // namespace tools
