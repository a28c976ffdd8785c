#include "finetune/forward/forecast.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <numeric>

#include "data/base/format.hpp"
#include "data/device/memory.hpp"
#include "data/train/metrics.hpp"
#include "finetune/forward/online_epoch.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

// The first rows of `labels`, and the pairs among them.
ForwardLabels first_rows(const ForwardLabels& labels, int64_t count) {
  ForwardLabels some{.rows = {labels.rows.begin(), labels.rows.begin() + count},
                     .values = {},
                     .weights = {},
                     .pairs = {}};
  if (labels.values.defined()) some.values = labels.values.narrow(0, 0, count);
  for (const auto& pair : labels.pairs) {
    if (std::max(pair.a, pair.b) < count) some.pairs.push_back(pair);
  }
  return some;
}

// As many rows as a micro-batch and one more hold, so that a second pass is a second pass.
int64_t rows_to_measure(const ForwardConfig& config, int64_t rows) {
  return std::min(rows, (config.train_batch_size + config.draws) / config.draws + 1);
}

struct MeasuredDraw {
  EpochPlan plan;
  at::Tensor latents;  // [P, C, h, w], those drawn over and over
  double seconds = 0;  // of an epoch
};
MeasuredDraw measure_draw(const TrainingTask& task,
                          const ForwardConfig& config,
                          const diffusion::Network& network,
                          at::Generator& generator) {
  MeasuredDraw result{plan_epoch(task.prompts, epoch_config(config), 0, generator), {}, 0};
  const auto total = static_cast<int64_t>(result.plan.draw.seeds.size()),
             count = std::min(total, config.sample_batch_size);
  RowShard share = whole(total);
  share.rows.resize(static_cast<size_t>(count));
  const EpochPlan some = part_of(result.plan, share);
  const Denoiser policy = policy_on(task, network, some.prompts, config.sample_guidance_scale);
  const double started = data::now();
  Trajectories ends;
  ends.latents = {draw_clean(task, make_drawing(task, config), policy, some.draw, count)};
  ends.prompt_ids = some.draw.prompt_ids;
  measure(task, some, ends, count);
  result.seconds =
      (data::now() - started) * static_cast<double>(total) / static_cast<double>(count);
  result.latents = final_latents(ends).index_select(0, at::arange(total, at::kLong) % count);
  return result;
}

// Seconds of the optimiser steps of an epoch.
double measure_update(const TrainingTask& task,
                      const ForwardConfig& config,
                      const diffusion::Network& network,
                      const MeasuredDraw& drawn,
                      Optimizer& optimizer) {
  const auto& draw = drawn.plan.draw;
  const auto total = static_cast<int64_t>(draw.seeds.size());
  const at::Tensor rewards = at::rand({total}, optimizer.state.generator, at::kDouble);
  const ForwardMethod& method = config.method;
  const ForwardLabels all = method.labels({rewards, draw.prompt_ids, draw.seeds, 1});
  const auto rows = static_cast<int64_t>(all.rows.size());
  if (rows == 0) return 0;
  const int64_t count = rows_to_measure(config, rows);
  const ForwardLabels labels = first_rows(all, count);
  const bool compares = method.compares_with_average || method.compares_with_start;
  const auto schedule = diffusion::make_schedule(task.pipeline->scheduler);
  const ForwardPass pass = make_forward_pass(task, config, schedule, network,
                                             compares ? &task.unet : nullptr, drawn.plan.prompts);
  const CleanImages images{drawn.latents, draw.prompt_ids,
                           static_cast<int64_t>(drawn.plan.prompts.size())};
  std::vector<int64_t> prompts;
  for (const int64_t row : labels.rows)
    prompts.push_back(draw.prompt_ids[static_cast<size_t>(row)]);
  double seconds = 0;
  for (int64_t i = 0; i < 2; ++i) {  // the first warms up
    const double started = data::now();
    const NoiseDraws draws = next_draws(config, schedule, prompts, optimizer.state.generator);
    add_forward_gradient(method, pass, images, labels, draws, whole(count));
    take_step(optimizer);
    seconds = data::now() - started;
  }
  return seconds * static_cast<double>(config.num_inner_epochs * rows) / static_cast<double>(count);
}

// Of one evaluation, from those of an image.
double evaluation_seconds(const TrainingTask& task, const ForwardConfig& config, double image) {
  const double networks = make_drawing(task, config).chain.steps.empty() ? 1 : 2;  // for the KL
  return networks * image * static_cast<double>(2 * config.eval_prompts * config.eval_images);
}

}  // namespace

double evaluation_seconds(const TrainingTask& task,
                          const ForwardConfig& config,
                          const diffusion::Network& network) {
  if (config.eval_prompts == 0) return 0;
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  const MeasuredDraw drawn = measure_draw(task, config, network, generator);
  return evaluation_seconds(task, config,
                            drawn.seconds / static_cast<double>(drawn.plan.draw.seeds.size()));
}

OnlineForecast forecast_online(const TrainingTask& task, const ForwardConfig& config) {
  data::reset_peak_memory();
  diffusion::Network network = task.unet;
  Optimizer optimizer = make_optimizer(config, trained_parameters(network, config), 1);
  const MeasuredDraw drawn = measure_draw(task, config, network, optimizer.state.generator);
  OnlineForecast forecast;
  forecast.seconds_draw = drawn.seconds;
  forecast.seconds_update = measure_update(task, config, network, drawn, optimizer);
  const int64_t epochs = config.num_epochs, each = config.eval_every,
                evaluations = 1 + (each > 0 ? (epochs + each - 1) / each : 1),
                drawn_images = config.prompts_per_epoch * config.images_per_prompt;
  forecast.seconds_evaluate =
      static_cast<double>(evaluations) *
      evaluation_seconds(task, config, drawn.seconds / static_cast<double>(drawn_images));
  forecast.seconds =
      forecast.seconds_evaluate +
      static_cast<double>(epochs) * (forecast.seconds_draw + forecast.seconds_update);
  forecast.images = epochs * drawn_images;
  forecast.peak_bytes = data::peak_memory();
  for (const auto& param : optimizer.state.params) forecast.trained_values += param.value.numel();
  return forecast;
}

std::string forecast_text(const OnlineForecast& forecast) {
  return data::formatted(
      "trained values   %.3g\nimages rated     %.0f\ntime             %.1f minutes: an epoch %.2f "
      "s of drawing and %.2f s of updates, %.1f minutes of evaluations\nmemory           %.2f GB "
      "at the most\n",
      static_cast<double>(forecast.trained_values), static_cast<double>(forecast.images),
      forecast.seconds / 60, forecast.seconds_draw, forecast.seconds_update,
      forecast.seconds_evaluate / 60, forecast.peak_bytes / 1e9);
}

}  // namespace finetune
