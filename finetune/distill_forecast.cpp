#include "finetune/distill_forecast.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>

#include "data/memory.hpp"
#include "finetune/distill_step.hpp"
#include "finetune/measure.hpp"
#include "finetune/memory.hpp"
#include "finetune/trainable.hpp"

namespace finetune {
namespace {

struct Costs {
  Work step, forward, rate;  // an optimiser step; one forward pass and the rating of a batch
  int64_t trained_values = 0;
  double peak_bytes = 0;
};

Costs measure(const Task& task, const EncodedImages& data, const DistillConfig& config) {
  data::reset_peak_memory();
  diffusion::UNet student = task.unet;
  Learner learner = make_learner(config, trained_parameters(student, config), 1);
  Distillation run = make_distillation(task, data, config, student, learner);
  at::Generator& generator = learner.state.generator;
  DrawnBatch drawn;
  const auto step = [&] {
    drawn = draw_batch(run, generator);
    const TermReport report = accumulate_terms(run, student, drawn, 1e-6, generator);
    if (run.proxy) update_proxy(run, rate_examples(run, report.examples));
    take_step(learner);
  };
  Costs costs;
  measured(step);  // to warm up
  costs.step = measured(step);
  const at::NoGradGuard no_gradient;
  ChainState state;
  costs.forward = measured(
      [&] { state = last_step_state(run, student, drawn.batch.conditions, 2, generator); });
  costs.rate = measured([&] {
    const at::Tensor images = task.decode(state.x);
    score_images(task.rewards, images, drawn.prompts);
    score_images(task.watched, images, drawn.prompts);
  });
  for (const auto& param : learner.state.params) costs.trained_values += param.value.numel();
  // A run keeps one more copy of what is trained, to go back to.
  costs.peak_bytes = data::peak_memory() + learner_bytes(config, costs.trained_values);
  return costs;
}

}  // namespace

DistillForecast forecast_distill(const Task& task,
                                 const EncodedImages& data,
                                 const DistillConfig& config) {
  const Costs costs = measure(task, data, config);
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
