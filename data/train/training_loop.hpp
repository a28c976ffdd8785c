#pragma once

// What every pretraining shares: a run that a folder keeps, its clock and schedule, one update's
// frame, its progress lines.

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "data/train/metrics.hpp"
#include "data/train/train_state.hpp"

namespace train {

struct LoopOptions {
  std::filesystem::path output_dir = {};
  int64_t seed = 0;
  int64_t train_batch_size = 64;  // images of an update
  int64_t max_train_steps = 10000;
  double max_train_minutes =
      0;  // > 0: the schedule follows the clock, and the training ends with it

  double learning_rate = 1e-3;
  int64_t lr_warmup_steps = 50;
  double weight_decay = 0.01;
  double max_grad_norm = 1.0;
  double ema_decay = 0.999;

  int64_t logging_steps = 50;
  int64_t validation_steps = 500;
  int64_t checkpointing_steps = 500;
  std::string resume_from_checkpoint = {};  // "": a new run; "latest", or a state file
};

// A run under way.
struct Loop {
  using Clock = std::chrono::steady_clock;
  LoopOptions options;
  TrainState state;
  std::map<std::string, std::string> settings;  // what makes it this run and no other
  int64_t step = 0;                             // updates done
  double earlier_minutes = 0;                   // of the sittings before this one
  Clock::time_point began = Clock::now();
  double images = 0;                       // seen since the last line of progress
  Clock::time_point since = Clock::now();  // that line
};

// Throws BadInput when output_dir holds a training state that the options do not say to continue.
void check_output(const LoopOptions& options);

// A run with nothing but its generator. Throws as check_output.
Loop new_loop(const LoopOptions& options);

// Takes up a run: the file's state goes into `loop`, whose parameters are there. `settings` beside
// those of LoopOptions (all but the run's length and its reports) must be those that the run began
// with; throws BadInput naming the one that is not.
void resume(Loop& loop);

// Makes `weights` the trained ones, and resumes when the options say so.
template <class S>
void take_weights(Loop& loop, S& weights) {
  loop.state.params = parameters_of(weights, "");
  loop.state.adamw = make_adamw(loop.state.params);
  loop.state.ema = make_ema(loop.state.params, loop.options.ema_decay);
  if (!loop.options.resume_from_checkpoint.empty()) resume(loop);
}

// The moving average of `weights`, detached, as values of its own.
template <class S>
S averaged(Loop& loop, const S& weights) {
  swap_ema(loop.state.ema, loop.state.params);
  S copy = weights;
  for_each_tensor(copy, "",
                  [](const std::string&, at::Tensor& tensor) { tensor = tensor.detach().clone(); });
  swap_ema(loop.state.ema, loop.state.params);
  return copy;
}

double minutes(const Loop& loop);   // of training, all sittings together
double progress(const Loop& loop);  // 0 .. 1 of the run's steps or minutes
// The rate of the next update while it rises to its full value: a line over lr_warmup_steps.
double warm_rate(const Loop& loop);
// 1 until the fraction `from` of a run, then down to 0 in a straight line. `done`: 0 .. 1
double linear_decay(double done, double from);

// Ends an update whose gradients stand in the parameters: clips them, lets `step` change the
// parameters, moves the average on. A gradient that is not finite is skipped: one bad batch must
// not end hours of work. Returns the norm before clipping.
double finish_update(Loop& loop, double images, const std::function<void()>& step);

// Appends figures, with the minutes, to output_dir/metrics.jsonl.
void record(const Loop& loop,
            bool evaluation,
            const std::vector<std::pair<std::string, double>>& values);
// "step  1150    8.1 min   16 %": how every line of progress begins.
std::string progress_text(const Loop& loop);
double images_per_second(const Loop& loop);  // since the last line

// Updates until the schedule ends. `validate` and `report` (a line of progress) come at their
// steps; the state is saved at its own and at the end.
struct LoopSteps {
  std::function<void()> update, validate, report;
};
void run(Loop& loop, const LoopSteps& steps);

}  // namespace train
