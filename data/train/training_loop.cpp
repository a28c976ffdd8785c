#include "data/train/training_loop.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"

namespace train {
namespace {

namespace fs = std::filesystem;

fs::path state_path(const LoopOptions& options) { return options.output_dir / "state.safetensors"; }
fs::path metrics_path(const LoopOptions& options) { return options.output_dir / "metrics.jsonl"; }

double seconds_since(Loop::Clock::time_point then) {
  return std::chrono::duration<double>(Loop::Clock::now() - then).count();
}

std::map<std::string, std::string> settings_of(const Loop& loop) {
  const LoopOptions& options = loop.options;
  auto settings = loop.settings;
  settings["seed"] = std::to_string(options.seed);
  settings["train_batch_size"] = std::to_string(options.train_batch_size);
  settings["learning_rate"] = std::to_string(options.learning_rate);
  settings["lr_warmup_steps"] = std::to_string(options.lr_warmup_steps);
  settings["weight_decay"] = std::to_string(options.weight_decay);
  settings["max_grad_norm"] = std::to_string(options.max_grad_norm);
  settings["ema_decay"] = std::to_string(options.ema_decay);
  return settings;
}

void check_same_settings(const fs::path& path, const Loop& loop) {
  for (const auto& [key, value] : settings_of(loop)) {
    const auto found = loop.state.metadata.find(key);
    if (found == loop.state.metadata.end() || found->second == value) continue;
    throw data::BadInput(path.string() + ": " + key + ": expected " + found->second +
                         " as at the start of the run, found " + value +
                         "; resume with the same settings or start in a new folder");
  }
}

void save(Loop& loop) {
  loop.state.metadata = settings_of(loop);
  loop.state.metadata["step"] = std::to_string(loop.step);
  loop.state.metadata["minutes"] = std::to_string(minutes(loop));
  loop.state.metadata["metrics_bytes"] =
      std::to_string(data::metrics_bytes(metrics_path(loop.options)));
  save_state(state_path(loop.options), loop.state);
}

}  // namespace

void check_output(const LoopOptions& options) {
  if (options.resume_from_checkpoint.empty() && fs::exists(state_path(options))) {
    throw data::BadInput(
        options.output_dir.string() + ": output_dir: expected a folder without a training state, " +
        "found one; continue it with --resume_from_checkpoint latest or name another folder");
  }
}

Loop new_loop(const LoopOptions& options) {
  check_output(options);
  Loop loop;
  if (!options.output_dir.empty()) loop.lock = data::FolderLock(options.output_dir);
  loop.options = options;
  loop.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed));
  return loop;
}

void resume(Loop& loop) {
  const std::string& from = loop.options.resume_from_checkpoint;
  const fs::path path = from == "latest" ? state_path(loop.options) : fs::path(from);
  if (from == "latest" && !fs::exists(path))
    return data::cut_metrics(metrics_path(loop.options), 0);  // a new run
  load_state(path, loop.state);
  check_same_settings(path, loop);
  loop.step = data::noted_number<int64_t>(loop.state.metadata, "step", path.string());
  loop.earlier_minutes = data::noted_number<double>(loop.state.metadata, "minutes", path.string());
  const auto& notes = loop.state.metadata;
  if (path == state_path(loop.options) && notes.contains("metrics_bytes"))
    data::cut_metrics(metrics_path(loop.options),
                      data::noted_number<uint64_t>(notes, "metrics_bytes", path.string()));
  data::truncate_metrics(metrics_path(loop.options), loop.step);
}

double minutes(const Loop& loop) { return loop.earlier_minutes + seconds_since(loop.began) / 60; }

double progress(const Loop& loop) {
  const LoopOptions& options = loop.options;
  const double done =
      options.max_train_minutes > 0
          ? minutes(loop) / options.max_train_minutes
          : static_cast<double>(loop.step) / static_cast<double>(options.max_train_steps);
  return std::min(1.0, done);
}

double warm_rate(const Loop& loop) {
  const double rise =
      static_cast<double>(loop.step + 1) / static_cast<double>(loop.options.lr_warmup_steps + 1);
  return loop.options.learning_rate * std::min(1.0, rise);
}

double linear_decay(double done, double from) {
  return done <= from ? 1.0 : std::max(0.0, (1.0 - done) / (1.0 - from));
}

double finish_update(Loop& loop, double images, const std::function<void()>& step) {
  const double norm = clip_grad_norm(loop.state.params, loop.options.max_grad_norm);
  if (std::isfinite(norm)) {
    step();
    update_ema(loop.state.ema, loop.state.params);
  }
  loop.images += images;
  ++loop.step;
  return norm;
}

void record(const Loop& loop,
            bool evaluation,
            const std::vector<std::pair<std::string, double>>& values) {
  data::Metrics line{.step = loop.step,
                     .time = data::now(),
                     .evaluation = evaluation,
                     .values = {{"minutes", minutes(loop)}}};
  line.values.insert(line.values.end(), values.begin(), values.end());
  data::append_metrics(metrics_path(loop.options), line);
}

std::string progress_text(const Loop& loop) {
  char text[60];
  std::snprintf(text, sizeof text, "step %6lld  %5.1f min  %3.0f %%",
                static_cast<long long>(loop.step), minutes(loop), 100 * progress(loop));
  return text;
}

double images_per_second(const Loop& loop) { return loop.images / seconds_since(loop.since); }

void run(Loop& loop, const LoopSteps& steps) {
  const LoopOptions& options = loop.options;
  while (progress(loop) < 1.0) {
    steps.update();
    if (loop.step % options.validation_steps == 0) {
      const auto before = Loop::Clock::now();
      steps.validate();
      loop.since += Loop::Clock::now() - before;  // the rate excludes validation
    }
    if (loop.step % options.logging_steps == 0) {
      steps.report();
      loop.images = 0;
      loop.since = Loop::Clock::now();
    }
    if (loop.step % options.checkpointing_steps == 0) save(loop);  // after its lines of metrics
  }
  save(loop);
}

}  // namespace train
