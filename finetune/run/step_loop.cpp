#include "finetune/run/step_loop.hpp"

#include <algorithm>
#include <stdexcept>

#include "data/base/format.hpp"
#include "data/train/metrics.hpp"
#include "finetune/distributed/row_shard.hpp"
#include "finetune/run/throughput.hpp"

namespace finetune {
namespace {

constexpr int64_t kMostLost = 3;
constexpr int64_t kKeepGoodEvery = 20;  // steps: a copy of all that is trained

struct LoopState {
  TrainingRun& run;
  const StepLoop& loop;
  double lr = 0;               // of the last step
  int64_t timed = 0;           // steps
  double since = data::now();  // those began
  int64_t lost = 0;            // steps, since the parameters were last kept
};

void add(MetricSums& sums, const MetricValues& figures) {
  for (const auto& [name, value] : figures) {
    auto& values = sums.values;
    auto place = std::find_if(values.begin(), values.end(),
                              [&](const auto& sum) { return sum.first == name; });
    if (place == values.end()) place = values.insert(place, {name, 0});
    place->second += value;
  }
}

void report(LoopState& state) {
  MetricSums& sums = state.run.progress.sums;
  const double seconds = (data::now() - state.since) / static_cast<double>(state.timed);
  MetricValues figures;
  std::map<std::string, double> means;
  for (const auto& [name, sum] : sums.values) {
    means[name] = sum / static_cast<double>(sums.steps);
    figures.emplace_back(name, means[name]);
  }
  figures.emplace_back("lr", state.lr);
  if (state.loop.state) {
    const MetricValues now = state.loop.state();
    figures.insert(figures.end(), now.begin(), now.end());
  }
  figures.emplace_back("seconds/step", seconds);
  figures.emplace_back("images_per_second",
                       images_per_second(state.loop.batch, seconds, state.run.options.ranks));
  log_metrics(state.run, figures, false);
  state.run.reporter.say(data::formatted("step %.0f: loss %.5f",
                                         static_cast<double>(state.run.optimizer.step),
                                         means["loss"]) +
                         (state.loop.words ? state.loop.words(means) : "") +
                         data::formatted(", %.3f s a step", seconds));
  sums = {};
  state.timed = 0;
  state.since = data::now();
}

void lose_step(LoopState& state, const std::string& what) {
  TrainingRun& run = state.run;
  restore_snapshot(run, faulty_value(run.optimizer.state.params).value_or(what));
  train::zero_grad(run.optimizer.state.params);
  if (++state.lost < kMostLost) return;
  throw std::runtime_error(run.hooks.command + ": " + what + " was not finite in " +
                           std::to_string(kMostLost) + " of " + std::to_string(kKeepGoodEvery) +
                           " steps; lower the learning rate");
}

void take_one(LoopState& state) {
  TrainingRun& run = state.run;
  const StepLoop& loop = state.loop;
  const BatchResult batch = loop.accumulate();
  const int64_t done = ++run.progress.epoch;
  if (!batch.fault.empty()) return lose_step(state, batch.fault);
  all_reduce_gradients(run.options.ranks, run.optimizer.state.params);
  if (!run.good || run.optimizer.step % kKeepGoodEvery == 0) {
    save_snapshot(run);
    state.lost = 0;
  }
  const StepResult step = take_step(run.optimizer);
  const MetricValues after = loop.after_step ? loop.after_step() : MetricValues();
  if (!step.fault.empty()) {
    run.reporter.say(data::formatted("step %.0f: ", static_cast<double>(done)) + step.fault +
                     " is not finite: step skipped");
    ++run.result.skipped_steps;
    return;
  }
  MetricSums& sums = run.progress.sums;
  add(sums, batch.figures);
  add(sums, after);
  add(sums, {{"grad_norm", step.grad_norm}});
  ++sums.steps;
  state.lr = step.learning_rate;
  ++state.timed;
  run.reporter.progress("steps", done, loop.max_train_steps);
  if (done % loop.report_every == 0 || done == loop.max_train_steps) report(state);
}

}  // namespace

RunResult run_steps(TrainingRun& run, const StepLoop& loop) {
  LoopState state{.run = run, .loop = loop};
  return run_training(run, loop.max_train_steps, [&] { take_one(state); });
}

}  // namespace finetune
