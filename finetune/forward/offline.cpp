#include "finetune/forward/offline.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/device/memory.hpp"
#include "data/train/epoch_order.hpp"
#include "data/train/metrics.hpp"
#include "finetune/forward/cached_reference.hpp"
#include "finetune/forward/forecast.hpp"
#include "finetune/forward/online_epoch.hpp"
#include "finetune/forward/winner_watch.hpp"
#include "finetune/run/step_loop.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

constexpr int64_t kChoiceReportEvery = 10;  // steps between lines of metrics

// What every step reads. Without a cache, `cache` is null.
struct ChoiceTraining {
  const TrainingTask& task;
  const ForwardConfig& config;
  const diffusion::NoiseSchedule& schedule;
  const ChoiceData& data;
  const CachedReference* cache;
};

// The choices of a step, the same at all ranks.
std::vector<int64_t> choices_of_step(const ChoiceData& data,
                                     const ForwardConfig& config,
                                     int64_t step) {
  const auto count = static_cast<int64_t>(data.choices.size());
  std::vector<int64_t> chosen;
  at::Tensor order;  // of the choices, once each
  for (int64_t i = 0; i < config.choices_per_update; ++i) {
    const int64_t place = step * config.choices_per_update + i;
    if (i == 0 || place % count == 0) order = train::epoch_order(config.seed, place / count, count);
    chosen.push_back(order[place % count].item<int64_t>());
  }
  return chosen;
}

// Backward pass of a step's choices. -> the method's figures, of all ranks
at::Tensor add_gradient_of(const ChoiceTraining& training,
                           const diffusion::Network& network,
                           int64_t step,
                           at::Generator& generator,
                           const ProcessGroup& ranks = {}) {
  const auto& [task, config, schedule, data, cache] = training;
  const std::vector<int64_t> chosen = choices_of_step(data, config, step);
  const ChoiceBatch batch = choice_batch(data, chosen);
  const auto rows = static_cast<int64_t>(batch.labels.rows.size());
  const bool compares = config.method.compares_with_start && cache == nullptr;
  ForwardPass pass = make_forward_pass(task, config, schedule, network,
                                       compares ? &task.unet : nullptr, batch.prompts, ranks);
  const CleanImages images{batch.latents, batch.labels.rows, rows};
  const RowShard share = strided_shard(ranks, rows);
  if (cache == nullptr)
    return add_forward_gradient(config.method, pass, images, batch.labels,
                                next_draws(config, schedule, batch.groups, generator), share);
  const CachedRows cached = rows_of(*cache, data, chosen);
  pass.compared_errors = cached.errors;
  return add_forward_gradient(config.method, pass, images, batch.labels, cached.draws, share);
}

void check_choices(const ChoiceData& data, const ForwardMethod& method) {
  if (!method.learns_from_choices)
    throw data::BadInput(method.name + " learns from rewards, not from choices between images");
  const bool single = std::any_of(data.b.begin(), data.b.end(), [](int64_t b) { return b < 0; });
  if (method.learns_from_pairs && single)
    throw data::BadInput("pairs: expected choices between two images for " + method.name +
                         ", found likes of one; leave them out, or train with kto");
}

BatchResult accumulate_choices(TrainingRun& run, const ChoiceTraining& training) {
  const at::Tensor values = add_gradient_of(training, run.unet, run.progress.epoch,
                                            run.optimizer.state.generator, run.options.ranks);
  BatchResult result{.figures = named_figures(training.config.method, values)};
  if (!std::isfinite(result.figures[0].second)) result.fault = "the loss";
  return result;
}

std::string choice_words(const std::map<std::string, double>& means) {
  const auto accuracy = means.find("pair_accuracy");
  return accuracy == means.end() ? ""
                                 : data::formatted(", %.2f of the pairs right", accuracy->second);
}

}  // namespace

RunResult run_offline(const TrainingTask& task,
                      const ChoiceData& data,
                      const ForwardConfig& config,
                      const RunOptions& options,
                      const Reporter& reporter) {
  check_choices(data, config.method);
  const ForwardDrawing drawing = make_drawing(task, config);
  const auto schedule = diffusion::make_schedule(task.pipeline->scheduler);
  TrainingRun run = make_training_run(task, config, options, reporter,
                                      drawing_hooks(task, config, drawing), config.max_train_steps);
  CachedReference cache;
  if (config.cache_reference)
    cache = cache_reference(task, data, config, schedule, reporter, options.ranks);
  const ChoiceTraining training{task, config, schedule, data,
                                config.cache_reference ? &cache : nullptr};
  WinnerWatch watch;
  return run_steps(run,
                   {.max_train_steps = config.max_train_steps,
                    .batch = (config.method.learns_from_pairs ? 2 : 1) * config.choices_per_update,
                    .report_every = kChoiceReportEvery,
                    .accumulate = [&] { return accumulate_choices(run, training); },
                    .words =
                        [&](const std::map<std::string, double>& means) {
                          watch_winner(watch, {means.begin(), means.end()}, reporter);
                          return choice_words(means);
                        }});
}

OfflineForecast forecast_offline(const TrainingTask& task,
                                 const ChoiceData& data,
                                 const ForwardConfig& config) {
  check_choices(data, config.method);
  data::reset_peak_memory();
  diffusion::Network network = task.unet;
  Optimizer optimizer = make_optimizer(config, trained_parameters(network, config), 1);
  const auto schedule = diffusion::make_schedule(task.pipeline->scheduler);
  OfflineForecast forecast;
  CachedReference cache;
  if (config.cache_reference) {
    const double started = data::now();
    cache = cache_reference(task, data, config, schedule, Reporter());
    forecast.seconds_cache = data::now() - started;
  }
  const ChoiceTraining training{task, config, schedule, data,
                                config.cache_reference ? &cache : nullptr};
  for (int64_t i = 0; i < 2; ++i) {  // the first warms up
    const double started = data::now();
    add_gradient_of(training, network, 0, optimizer.state.generator);
    take_step(optimizer);
    forecast.seconds_step = data::now() - started;
  }
  const int64_t evaluations =
      1 + (config.eval_every > 0
               ? (config.max_train_steps + config.eval_every - 1) / config.eval_every
               : 1);
  forecast.seconds_evaluate =
      static_cast<double>(evaluations) * evaluation_seconds(task, config, network);
  forecast.seconds = forecast.seconds_cache + forecast.seconds_evaluate +
                     forecast.seconds_step * static_cast<double>(config.max_train_steps);
  forecast.peak_bytes = data::peak_memory();
  forecast.choices = static_cast<int64_t>(data.choices.size());
  for (const auto& param : optimizer.state.params) forecast.trained_values += param.value.numel();
  return forecast;
}

std::string forecast_text(const OfflineForecast& forecast) {
  return data::formatted(
      "trained values   %.3g\nchoices          %.0f\ntime             %.1f minutes: %.3f s a step, "
      "%.1f minutes of evaluations\nmemory           %.2f GB at the most\n",
      static_cast<double>(forecast.trained_values), static_cast<double>(forecast.choices),
      forecast.seconds / 60, forecast.seconds_step, forecast.seconds_evaluate / 60,
      forecast.peak_bytes / 1e9);
}

}  // namespace finetune
