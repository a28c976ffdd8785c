#include "tools/cli/run_console.hpp"

#include <atomic>
#include <csignal>
#include <iostream>

namespace tools {
namespace {

std::atomic<bool> stop_asked{false};

extern "C" void on_interrupt(int signal) {
  stop_asked = true;
  std::signal(signal, SIG_DFL);
}

}  // namespace

finetune::Reporter Console::reporter() {
  finetune::Reporter result;
  result.say = [this](const std::string& line) {
    if (bar_)
      bar_->print(line);
    else
      std::cerr << line << "\n";
  };
  result.progress = [this](const std::string& what, int64_t done, int64_t total) {
    if (!bar_ || what != title_) bar_.emplace(what, total);
    if (what != title_) done_ = done - 1;
    title_ = what;
    bar_->advance(done - done_);
    done_ = done;
  };
  return result;
}

std::function<bool()> stop_on_interrupt(bool terminate) {
  std::signal(SIGINT, on_interrupt);
  if (terminate) std::signal(SIGTERM, on_interrupt);
  return [] { return stop_asked.load(); };
}

void print_result(const finetune::RunResult& result,
                  const std::string& round,
                  const std::string& base,
                  const std::string& folder) {
  std::cout << round << std::string(16 - round.size(), ' ') << result.epochs << " (" << result.steps
            << " updates"
            << (result.skipped_steps ? ", " + std::to_string(result.skipped_steps) + " skipped"
                                     : "")
            << (result.stopped.empty() ? "" : ", stopped: " + result.stopped) << ")\n";
  if (result.evaluated) {
    std::cout << "trained reward  " << result.last.trained << " standard deviations above the "
              << base << "\n"
              << "held-out        " << result.last.held_out << " (best " << result.best.held_out
              << " at step " << result.best_step << ")\n";
  }
  std::cout << "run             " << folder << "\n";
}

}  // namespace tools
