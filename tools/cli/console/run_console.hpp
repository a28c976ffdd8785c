#pragma once

// The console of training commands: lines and a bar on stderr, the result on stdout, Ctrl-C.

#include <functional>
#include <optional>
#include <string>

#include "finetune/run/training_run.hpp"
#include "tools/cli/console/progress.hpp"

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

// Installs handlers: Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 make a run save and stop after its current
// round. The second of the same kind ends the program at once, but for SIGHUP, which stays ignored
// under nohup. A pipe whose reader is gone (`| tee`, which Ctrl-C ends) no longer ends the program
// before it has saved.
std::function<bool()> stop_on_signal();

// The exit code of a run whose last model the guard rejects.
constexpr int kRejected = 3;

// 128 + the signal that stopped the run before its last round, as a shell counts: 130 after Ctrl-C.
// kRejected where the guard rejects the run's end; else 0.
int exit_code_of(const finetune::RunResult& result);

// "verdict  fine: nothing was flagged ...", and which step was accepted, where the run is guarded.
void print_verdict(const finetune::RunResult& result, const std::string& folder);

// round: "epochs"; base: what the trained rewards are measured from, "start".
void print_result(const finetune::RunResult& result,
                  const std::string& round,
                  const std::string& base,
                  const std::string& folder);

}  // namespace tools
