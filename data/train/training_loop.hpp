#pragma once

// The loop of supervised training: a run in a folder, its clock and schedule, one update, progress
// lines.

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "data/storage/folder_lock.hpp"
#include "data/train/metrics.hpp"
#include "data/train/train_state.hpp"

namespace train {

struct LoopOptions {
  std::filesystem::path output_dir = {};
  int64_t seed = 0;
  int64_t train_batch_size = 64;  // images per update
  int64_t max_train_steps = 10000;
  double max_train_minutes =
      0;  // > 0: schedule and end of training follow the clock instead of the steps

  double learning_rate = 1e-3;
  int64_t lr_warmup_steps = 50;
  double weight_decay = 0.01;
  double max_grad_norm = 1.0;
  double ema_decay = 0.999;

  int64_t logging_steps = 50;
  int64_t validation_steps = 500;
  int64_t checkpointing_steps = 500;
  std::string resume_from_checkpoint = {};  // "": a new run; "latest"; or a state file
};

// The state of a running loop.
struct Loop {
  using Clock = std::chrono::steady_clock;
  data::FolderLock lock{};  // of output_dir
  LoopOptions options;
  TrainState state;
  std::map<std::string, std::string> settings;  // identify the run: must match on resuming
  int64_t step = 0;                             // updates done
  double earlier_minutes = 0;                   // in previous sessions of a resumed run
  Clock::time_point began = Clock::now();
  double images = 0;                       // since the last progress line
  Clock::time_point since = Clock::now();  // time of that line
};

// Throws BadInput when output_dir holds a training state and the options do not resume it.
void check_output(const LoopOptions& options);

// A run without parameters: only its seeded generator, and the lock of output_dir. Throws as
// check_output and data::FolderLock.
Loop new_loop(const LoopOptions& options);

// Loads the state file into `loop`, whose parameters must exist. `settings` and the LoopOptions,
// except the length of the run and its reports, must be those that the run began with; throws
// BadInput with the first that differs.
void resume(Loop& loop);

// Makes `weights` the trained parameters, and resumes when the options say so.
template <class S>
void take_weights(Loop& loop, S& weights) {
  loop.state.params = parameters_of(weights, "");
  loop.state.adamw = make_adamw(loop.state.params);
  loop.state.ema = make_ema(loop.state.params, loop.options.ema_decay);
  if (!loop.options.resume_from_checkpoint.empty()) resume(loop);
}

// A detached copy of the moving average of `weights`.
template <class S>
S averaged(Loop& loop, const S& weights) {
  swap_ema(loop.state.ema, loop.state.params);
  S copy = weights;
  for_each_tensor(copy, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  swap_ema(loop.state.ema, loop.state.params);
  return copy;
}

double minutes(const Loop& loop);   // of training, previous sessions included
double progress(const Loop& loop);  // fraction of the run's steps or minutes, 0 .. 1
// Learning rate of the next update with linear warm-up over lr_warmup_steps.
double warm_rate(const Loop& loop);
// 1 until the fraction `from` of a run, then linear to 0 at its end. `done`: 0 .. 1
double linear_decay(double done, double from);

// Finishes an update once the parameters have gradients: clips them, calls `step` to change the
// parameters, updates the average. An update with a gradient that is not finite is skipped, so that
// one bad batch does not end a long run. Returns the norm before clipping.
double finish_update(Loop& loop, double images, const std::function<void()>& step);

// Appends metrics and the minutes of training to output_dir/metrics.jsonl.
void record(const Loop& loop,
            bool evaluation,
            const std::vector<std::pair<std::string, double>>& values);
// "step  1150    8.1 min   16 %": the beginning of every progress line.
std::string progress_text(const Loop& loop);
double images_per_second(const Loop& loop);  // since the last line

// Runs updates until the schedule ends. Calls `validate` and `report` (a progress line) every
// validation_steps and logging_steps; saves the state every checkpointing_steps and at the end.
struct LoopSteps {
  std::function<void()> update, validate, report;
};
void run(Loop& loop, const LoopSteps& steps);

}  // namespace train
