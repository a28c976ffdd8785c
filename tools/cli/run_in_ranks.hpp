#pragma once

// A command that several processes carry out together.

#include <functional>

#include "finetune/distributed/process_group.hpp"

namespace tools {

// Meets the other processes where torchrun, srun or mpirun started several, and runs `body`; alone,
// runs it at once. `configuration`: `key = value` lines, which must be the same everywhere, as must
// the program. Where a process fails or is lost all end, and one says why. -> exit code
int in_ranks(const std::string& configuration,
             const finetune::ProcessGroupTimeouts& limits,
             const std::function<int(const finetune::ProcessGroup& ranks)>& body);

// For a command of one process: throws BadInput where several were started.
void expect_alone(const std::string& command);

}  // namespace tools
