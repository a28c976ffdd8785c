#include "tools/cli/console/run_console.hpp"

#include <atomic>
#include <csignal>
#include <filesystem>
#include <iostream>

#include "data/base/format.hpp"
#include "data/base/log.hpp"
#include "finetune/run/guarding.hpp"

namespace tools {
namespace {

std::atomic<int> stop_signal{0};  // the first; 0: none yet

// A closed terminal sends SIGHUP twice, by the system and by its shell: that is one wish.
extern "C" void on_stop(int signal) {
  int none = 0;
  stop_signal.compare_exchange_strong(none, signal);
  if (signal != SIGHUP) std::signal(signal, SIG_DFL);
}

}  // namespace

finetune::Reporter Console::reporter() {
  finetune::Reporter result;
  result.say = [this](const std::string& line) {
    if (bar_)
      bar_->print(line);
    else
      data::log_info(line);
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

std::function<bool()> stop_on_signal() {
  std::signal(SIGINT, on_stop);
  std::signal(SIGTERM, on_stop);
  std::signal(SIGUSR1, on_stop);  // Slurm announces the end of a job by it
  if (std::signal(SIGHUP, on_stop) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  return [] { return stop_signal.load() != 0; };
}

int exit_code_of(const finetune::RunResult& result) {
  const int signal = stop_signal.load();
  if (signal != 0 && !result.stopped.empty()) return 128 + signal;
  return finetune::is_rejected(result) ? kRejected : 0;
}

void print_verdict(const finetune::RunResult& result, const std::string& folder) {
  if (!result.verdict) return;
  const guard::Verdict& verdict = *result.verdict;
  std::cout << "verdict         " << guard::name_of(verdict.state)
            << (verdict.kind.empty() ? "" : " (" + verdict.kind + ")") << ": " << verdict.reason
            << "\naccepted        ";
  if (verdict.accepted_step < 0)
    std::cout << "nothing\n";
  else if (verdict.accepted_step == 0)
    std::cout << "the start alone\n";
  else
    std::cout << "step " << verdict.accepted_step << ", in "
              << (std::filesystem::path(folder) / "accepted").string() << "\n";
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
  if (result.trained)
    std::cout << "trained reward  " << data::formatted("%+.3f", *result.trained)
              << " deviations from the " << base << "\n";
  print_verdict(result, folder);
  std::cout << "run             " << folder << "\n";
}

}  // namespace tools
