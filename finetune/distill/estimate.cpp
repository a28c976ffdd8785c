#include "finetune/distill/estimate.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>

#include "data/base/error.hpp"
#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "finetune/distill/step.hpp"
#include "finetune/estimate/measure.hpp"
#include "finetune/estimate/memory.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

struct DistillCosts {
  Work step, forward, rate;  // an optimiser step; one forward pass and the rating of a batch
  int64_t trained_values = 0;
  double peak_bytes = 0;
};

DistillCosts measure(const TrainingTask& task,
                     const EncodedImages& data,
                     const DistillConfig& config) {
  data::reset_peak_memory(task.device);
  diffusion::Network student = task.unet;
  Optimizer optimizer = make_optimizer(config, trained_parameters(student, config), 1);
  Distillation run = make_distillation(task, data, config, student, optimizer);
  at::Generator& generator = optimizer.state.generator;
  DrawnBatch drawn;
  const auto step = [&] {
    drawn = draw_batch(run, generator);
    const TermReport report = accumulate_terms(run, student, drawn, 1e-6, generator);
    if (run.proxy) update_proxy(run, rate_examples(run, report.examples));
    take_step(optimizer);
  };
  DistillCosts costs;
  measured(task.device, step);  // to warm up
  costs.step = measured(task.device, step);
  const at::NoGradGuard no_gradient;
  ChainState state;
  costs.forward = measured(task.device, [&] {
    state = last_step_state(run, student, drawn.batch.conditions, 2, generator);
  });
  costs.rate = measured(task.device, [&] {
    const at::Tensor images = decode(task, state.x);
    score_images(task.rewards, images, drawn.prompts);
    score_images(task.eval_rewards, images, drawn.prompts);
  });
  for (const auto& param : optimizer.state.params) costs.trained_values += param.value.numel();
  // A run keeps one more copy of what is trained, to go back to.
  costs.peak_bytes = data::peak_memory(task.device) + optimizer_bytes(config, costs.trained_values);
  return costs;
}

// The most that a run of so many rows a step holds, from two real steps, the second with moments.
double peak_of(const TrainingTask& task,
               const EncodedImages& data,
               DistillConfig config,
               int64_t rows) {
  config.train_batch_size = rows;
  const double before = data::used_memory(task.device);
  int64_t trained = 0;
  const auto steps = static_cast<double>(data::peak_bytes(task.device, [&] {
    diffusion::Network student = task.unet;
    Optimizer optimizer = make_optimizer(config, trained_parameters(student, config), 1);
    Distillation run = make_distillation(task, data, config, student, optimizer);
    for (int i = 0; i < 2; ++i) {
      const DrawnBatch drawn = draw_batch(run, optimizer.state.generator);
      accumulate_terms(run, student, drawn, 1e-6, optimizer.state.generator);
      take_step(optimizer);
    }
    for (const auto& param : optimizer.state.params) trained += param.value.numel();
  }));
  return before + data::kMatrixBuffers + steps + optimizer_bytes(config, trained);
}

// A step's peak by its rows. Those beyond reward_chunk are never decoded at the same time.
struct RowsMemory {
  double one = 0, each = 0, each_beyond = 0;
  int64_t chunk = 1;
};
double peak_of(const RowsMemory& memory, int64_t rows) {
  const int64_t beyond = std::max<int64_t>(0, rows - memory.chunk);
  return memory.one + memory.each * static_cast<double>(rows - beyond - 1) +
         memory.each_beyond * static_cast<double>(beyond);
}
RowsMemory rows_memory(const TrainingTask& task,
                       const EncodedImages& data,
                       const DistillConfig& config) {
  const auto slope = [&](const TrainingTask& of, double one) {
    return std::max(0.0, peak_of(of, data, config, 2) - one);
  };
  RowsMemory memory{.one = peak_of(task, data, config, 1), .chunk = config.reward_chunk};
  memory.each = memory.each_beyond = slope(task, memory.one);
  if (task.rewards.empty() || config.train_batch_size <= memory.chunk) return memory;
  TrainingTask unrated = task;
  unrated.rewards.clear();
  memory.each_beyond = slope(unrated, peak_of(unrated, data, config, 1));
  return memory;
}

// The most rows that fit: those configured, a half, a quarter, ...; else one.
Alternative most_rows(const RowsMemory& memory, int64_t rows, double limit) {
  while (rows > 1 && peak_of(memory, rows) > limit) rows /= 2;
  return {"train_batch_size " + std::to_string(rows), peak_of(memory, rows)};
}

}  // namespace

DistillForecast forecast_distill(const TrainingTask& task,
                                 const EncodedImages& data,
                                 const DistillConfig& config) {
  const DistillCosts costs = measure(task, data, config);
  const double steps = static_cast<double>(config.max_train_steps),
               batch = static_cast<double>(config.train_batch_size);
  const int64_t evaluations =
      1 + (config.eval_every > 0 ? config.max_train_steps / config.eval_every : 1);
  const int64_t images = evaluation_images(task, config);
  const double student = static_cast<double>((evaluations - 1) * images * config.eval_steps),
               teacher = static_cast<double>(2 * images * config.teacher_steps);
  DistillForecast result;
  result.evaluated = evaluations * images;
  result.flop_per_step = costs.step.flop;
  result.flop = steps * costs.step.flop + (student + teacher) / batch * costs.forward.flop;
  result.seconds_train = steps * costs.step.seconds;
  result.seconds_evaluate = ((student + teacher) * costs.forward.seconds +
                             static_cast<double>(result.evaluated) * costs.rate.seconds) /
                            batch;
  result.gflops = costs.step.flop / costs.step.seconds / 1e9;
  result.peak_bytes = costs.peak_bytes;
  const double values = static_cast<double>(costs.trained_values);
  const double exported = config.train_full ? 2 * values : 8 * values,
               state = 4 * values * (config.ema_decay > 0 ? 4 : 3),
               kept = static_cast<double>(std::max<int64_t>(1, config.checkpoints_total_limit));
  result.disk_bytes = kept * (state + exported) + 2 * exported;
  if (!task.rewards.empty())
    result.queries = config.max_train_steps * rated_rows(config) * (config.latent_reward ? 3 : 1);
  result.trained_values = costs.trained_values;
  return result;
}

void expect_memory(const TrainingTask& task,
                   const EncodedImages& data,
                   const DistillConfig& config,
                   double limit) {
  const RowsMemory memory = rows_memory(task, data, config);
  const double peak = peak_of(memory, config.train_batch_size);
  if (peak <= limit) return;
  std::vector<Alternative> smaller{most_rows(memory, config.train_batch_size, limit)};
  if (!config.gradient_checkpointing) {
    DistillConfig changed = config;
    changed.gradient_checkpointing = true;
    smaller.push_back(most_rows(rows_memory(task, data, changed), config.train_batch_size, limit));
    smaller.back().what += " with gradient_checkpointing";
  }
  throw data::BadInput("max_memory: expected at least " + data::bytes_text(peak) + " for " +
                       std::to_string(config.train_batch_size) + " latents a step, found " +
                       data::bytes_text(limit) + "; " + what_would_fit(limit, smaller) +
                       (config.train_full ? "; --train lora takes less" : ""));
}

std::string forecast_text(const DistillForecast& f) {
  char text[900];
  const double seconds = f.seconds_train + f.seconds_evaluate;
  std::snprintf(text, sizeof text,
                "work            %.3g FLOP (%.3g GFLOP a step, %.1f GFLOP/s here)\n"
                "time            %.2f hours (%.0f s): steps %.0f s, evaluation %.0f s\n"
                "peak memory     %s\n"
                "reward queries  %lld in training, %lld in evaluations\n"
                "trained values  %lld\n"
                "disk            %s, models beside the UNet not counted\n",
                f.flop, f.flop_per_step / 1e9, f.gflops, seconds / 3600, seconds, f.seconds_train,
                f.seconds_evaluate, data::bytes_text(f.peak_bytes).c_str(),
                static_cast<long long>(f.queries), static_cast<long long>(f.evaluated),
                static_cast<long long>(f.trained_values), data::bytes_text(f.disk_bytes).c_str());
  return text;
}

}  // namespace finetune
