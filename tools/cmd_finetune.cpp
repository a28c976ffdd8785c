#include <atomic>
#include <csignal>
#include <iostream>
#include <optional>

#include "data/error.hpp"
#include "data/memory.hpp"
#include "finetune/forecast.hpp"
#include "finetune/memory.hpp"
#include "finetune/trainer.hpp"
#include "tools/commands.hpp"
#include "tools/finetune_task.hpp"
#include "tools/progress.hpp"

namespace tools {
namespace {

std::atomic<bool> stop_asked{false};

// The first Ctrl-C saves and stops after the epoch; a second one ends the program at once.
extern "C" void on_interrupt(int) {
  stop_asked = true;
  std::signal(SIGINT, SIG_DFL);
}

// Lines and a bar of updates on stderr.
class Console {
 public:
  finetune::Reporter reporter() {
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

 private:
  std::optional<Progress> bar_;
  std::string title_;
  int64_t done_ = 0;
};

void print_result(const finetune::RunResult& result, const std::string& folder) {
  std::cout << "epochs          " << result.epochs << " (" << result.steps << " updates"
            << (result.skipped_steps ? ", " + std::to_string(result.skipped_steps) + " skipped"
                                     : "")
            << (result.stopped.empty() ? "" : ", stopped: " + result.stopped) << ")\n"
            << "trained reward  " << result.last.trained << " standard deviations above the start\n"
            << "held-out        " << result.last.held_out << " (best " << result.best.held_out
            << " at step " << result.best_step << ")\n"
            << "run             " << folder << "\n";
}

}  // namespace

int cmd_finetune(const std::vector<std::string>& arguments) {
  FinetuneCommand command;
  Options options("finetune",
                  "Teaches the UNet to earn more reward: prdp (proximal reward difference "
                  "prediction), or ddpo, the control.",
                  "prdp|ddpo");
  declare_finetune(options, command);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (parsed.positional.size() != 1 ||
      (parsed.positional[0] != "prdp" && parsed.positional[0] != "ddpo")) {
    throw data::BadInput(
        "laurel finetune: expected prdp or ddpo, found " +
        (parsed.positional.empty() ? "nothing" : "'" + parsed.positional[0] + "'") +
        "; write `laurel finetune prdp`");
  }
  const std::string method = parsed.positional[0];
  resolve_finetune(command, method);
  const Placement placement = open_device(command.device);
  const PrecisionScope precision(placement);
  finetune::Task task = make_task(command, placement, options.resolved());
  Console console;
  if (!command.max_memory.empty()) {
    command.config = finetune::fit_memory(task, command.config,
                                          data::parse_bytes(command.max_memory, "max_memory"),
                                          console.reporter());
    task.config_text = options.resolved();
  }
  if (command.dry_run) {
    std::cout << finetune::forecast_text(finetune::forecast(task, command.config));
    return 0;
  }
  finetune::RunOptions run;
  run.folder = command.output_dir;
  run.resume_from = command.resume_from_checkpoint;
  run.record = {
      method,        task.model, command.reward, placement.device.str(), command.config.seed,
      task.synthetic};
  run.stop_requested = [] { return stop_asked.load(); };
  std::signal(SIGINT, on_interrupt);
  print_result(finetune::run_finetune(task, command.config, run, console.reporter()),
               command.output_dir);
  return 0;
}

}  // namespace tools
