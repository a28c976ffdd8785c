#pragma once

// The console of training commands: lines and a bar on stderr, the result on stdout, Ctrl-C.

#include <functional>
#include <optional>
#include <string>

#include "finetune/run/training_run.hpp"
#include "tools/cli/progress.hpp"

namespace tools {

// Lines and a bar of updates on stderr.
class Console {
 public:
  finetune::Reporter reporter();

 private:
  std::optional<Progress> bar_;
  std::string title_;
  int64_t done_ = 0;
};

// Installs a handler: the first Ctrl-C makes a run save and stop after its current round, a second
// one ends the program at once. `terminate`: the same for SIGTERM, which launchers send to the
// remaining ranks.
std::function<bool()> stop_on_interrupt(bool terminate = false);

// round: "epochs"; base: what the standing is measured from, "start".
void print_result(const finetune::RunResult& result,
                  const std::string& round,
                  const std::string& base,
                  const std::string& folder);

}  // namespace tools
