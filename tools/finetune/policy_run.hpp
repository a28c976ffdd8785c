#pragma once

// A policy-gradient run of a resolved command: fitted to the memory, forecast or trained.

#include "finetune/distributed/process_group.hpp"
#include "tools/finetune/policy_options.hpp"

namespace tools {

// One process of the run, or all of it. -> the exit code
int run_policy(const finetune::ProcessGroup& ranks,
               FinetuneCommand& command,
               const Options& options);

}  // namespace tools
