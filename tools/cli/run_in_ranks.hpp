#pragma once

// Runs a command in several processes.

#include <functional>

#include "finetune/distributed/process_group.hpp"

namespace tools {

// Runs `body`; where torchrun, srun or mpirun started several processes, connects them first.
// `configuration`: `key = value` lines, which must be equal in all processes, as must the program.
// When a process fails, all end and one prints the reason. -> exit code
int in_ranks(const std::string& configuration,
             const finetune::ProcessGroupTimeouts& limits,
             const std::function<int(const finetune::ProcessGroup& ranks)>& body);

// For a command of one process: throws BadInput when several were started.
void expect_alone(const std::string& command);

}  // namespace tools
