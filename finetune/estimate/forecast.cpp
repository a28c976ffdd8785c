#include "finetune/estimate/forecast.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>

#include "data/base/format.hpp"
#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "finetune/estimate/measure.hpp"
#include "finetune/estimate/memory.hpp"
#include "finetune/estimate/step_costs.hpp"
#include "finetune/estimate/trial_run.hpp"
#include "finetune/policy/epoch_states.hpp"
#include "finetune/policy/update.hpp"

namespace finetune {
namespace {

constexpr int64_t kSteps = 2;        // real steps of everything
constexpr double kQuickFlop = 1e12;  // real steps: of fewer images where a micro-batch takes more
constexpr double kLongEnough = 5;    // seconds: what takes longer needs no warm-up

// Seconds of an image (decode, rate) or of an image's step (draw, update).
struct Costs {
  StepCosts reckoned;  // operations
  double draw = 0, rate = 0, gradient = 0;
  int64_t trained_values = 0;
  MemoryModel memory;
};

// Images of the real steps: the larger micro-batch where that is quick.
int64_t probe_images(const FinetuneConfig& config, const StepCosts& costs) {
  const double each = static_cast<double>(kSteps) * (costs.draw.flop + costs.update.flop);
  const auto quick = std::max<int64_t>(1, static_cast<int64_t>(kQuickFlop / each));
  return std::min(quick, std::max(config.sample_batch_size, config.train_batch_size));
}

// What the model says that steps of so many images hold.
double said_of(const MemoryModel& model, const FinetuneConfig& config, size_t images) {
  const auto count = static_cast<int64_t>(images);
  const int64_t drawn = std::min(config.sample_batch_size, count),
                trained = std::min(config.train_batch_size, count);
  return std::max(
      {bytes_at(model.draw, drawn), bytes_at(model.rate, drawn), bytes_at(model.update, trained)});
}

Costs measure(const TrainingTask& task, const FinetuneConfig& config) {
  Costs costs;
  costs.reckoned = step_costs(task, config, 1);
  costs.memory = memory_model(task, config);
  data::reset_peak_memory(task.device);
  costs.memory.resident = data::used_memory(task.device);
  TrialRun probe = make_trial_run(
      task, config, {probe_images(config, costs.reckoned), kSteps, task.latent_shape});
  const double images = static_cast<double>(probe.plan.draw.seeds.size()),
               image_steps = images * static_cast<double>(probe.chain.steps.size());
  Trajectories drawn;
  const Work cold = measured(task.device, [&] { drawn = draw(probe); });
  const Work warm =
      cold.seconds > kLongEnough ? cold : measured(task.device, [&] { drawn = draw(probe); });
  const Work rated = measured(task.device, [&] { rate(probe, drawn); });
  Work trained = measured(task.device, [&] { train(probe, drawn); });
  if (trained.seconds < kLongEnough) trained = measured(task.device, [&] { train(probe, drawn); });
  costs.draw = warm.seconds / image_steps;
  costs.rate = rated.seconds / images;
  costs.gradient = trained.seconds / image_steps;
  for (const auto& param : probe.optimizer.state.params)
    costs.trained_values += param.value.numel();
  costs.memory.margin = data::peak_memory(task.device) - costs.memory.resident -
                        said_of(costs.memory, config, probe.plan.draw.seeds.size()) -
                        optimizer_bytes(config, costs.trained_values);
  return costs;
}

double disk(const TrainingTask& task,
            const FinetuneConfig& config,
            const Costs& costs,
            int64_t evaluations) {
  const double values = static_cast<double>(costs.trained_values);
  const double state = 4 * values * (config.ema_decay > 0 ? 4 : 3),
               exported = config.train_full ? 2 * values : 8 * values;
  const double kept = config.checkpoints_total_limit > 0
                          ? static_cast<double>(config.checkpoints_total_limit)
                          : static_cast<double>(config.num_epochs);
  const double pixels = static_cast<double>(vae_factor(task) * vae_factor(task) *
                                            task.latent_shape[1] * task.latent_shape[2]);
  const double images =
      static_cast<double>((evaluations + 1) * 2 * config.eval_prompts * config.eval_images);
  const double replay = static_cast<double>(config.credit.learner.replay_epochs) *
                        state_bytes(config, task.latent_shape);
  return kept * (state + exported + replay) + 2 * exported +
         images * pixels * 2;  // a PNG of a picture: about 2 bytes a pixel
}

// Of the trajectories that a run keeps: states of half precision, ends of single precision.
double kept_bytes(const TrainingTask& task, const FinetuneConfig& config) {
  const int64_t drawn = config.offline ? config.offline_epochs : config.num_epochs;
  const double states = state_bytes(config, task.latent_shape),
               ends = 2 * states / static_cast<double>(config.sample_num_steps);
  return static_cast<double>(std::min(config.keep.epochs, drawn)) * (states + ends);
}

// Of the steps in the objective.
BranchSizes active_sizes(const BranchSizes& sizes, const SamplingPlan& chain) {
  BranchSizes active;
  for (const int64_t k : unmasked_steps(chain)) active.push_back(sizes[static_cast<size_t>(k)]);
  return active;
}

}  // namespace

Forecast forecast(const TrainingTask& task, const FinetuneConfig& config) {
  const Costs costs = measure(task, config);
  const SamplingPlan chain =
      make_sampling_plan(config, task.pipeline->scheduler, task.latent_shape, task.device);
  const int64_t epoch_images = config.prompts_per_epoch * config.images_per_prompt;
  const double images = static_cast<double>(epoch_images);
  const BranchSizes sizes = branch_sizes(config);
  const double epochs = static_cast<double>(config.num_epochs),
               drawn_epochs = config.offline ? static_cast<double>(config.offline_epochs) : epochs;
  const double steps = static_cast<double>(chain.steps.size()),
               drawn = static_cast<double>(transitions(sizes, epoch_images)),
               active = static_cast<double>(
                   transitions(active_sizes(sizes, chain), epoch_images));  // in the objective
  const double passes = static_cast<double>(config.num_inner_epochs);
  // The policy sees an epoch's images once. Where the method needs it, the starting model scores
  // them, but for the first epoch, which it draws; where the method imitates it, its guided pass is
  // a part of `costs.draw`. Where the method couples trajectories, every update but the first
  // recomputes its share; all have a gradient.
  const double scored = config.method.compares_with_start ? epochs - 1 : 0;
  const double draws = (config.offline ? drawn_epochs : epochs + scored) * drawn;
  const double recomputed =
      !config.method.couples_trajectories
          ? 0
          : epochs * active *
                    (passes - 1.0 / static_cast<double>(updates_per_epoch(config)) * passes) +
                (config.offline ? epochs * active : 0);
  const bool imitates = config.method.imitated_guidance > 0;
  const double gradients = epochs * passes * (imitates ? drawn : active) * config.timestep_fraction;
  const double evaluated_passes = imitates ? steps : 2 * steps;  // the model's and the start's
  const int64_t evaluations =
      1 + (config.eval_every > 0 ? config.num_epochs / config.eval_every : 1);
  Forecast result;
  result.evaluated = evaluations * evaluation_images(task, config);
  const double evaluated = static_cast<double>(result.evaluated);
  result.flop_per_step = costs.reckoned.draw.flop;
  result.flop = (draws + recomputed + evaluated * evaluated_passes) * costs.reckoned.draw.flop +
                gradients * costs.reckoned.update.flop;
  result.seconds_draw = draws * costs.draw;
  result.seconds_rate = drawn_epochs * images * costs.rate;
  result.seconds_update = recomputed * costs.draw + gradients * costs.gradient;
  result.seconds_evaluate = evaluated * (evaluated_passes * costs.draw + costs.rate);
  result.gflops = costs.reckoned.draw.flop / costs.draw / 1e9;
  result.queries = static_cast<int64_t>(drawn_epochs * images);
  result.transitions = transitions(sizes, epoch_images);
  result.optimizer_steps = config.num_epochs * updates_per_epoch(config);
  result.trained_values = costs.trained_values;
  result.trajectory_bytes = trajectory_bytes(config, task.latent_shape);
  result.peak_bytes = peak_bytes(costs.memory, config, task.latent_shape, costs.trained_values,
                                 evaluation_images(task, config));
  result.kept_bytes = kept_bytes(task, config);
  result.disk_bytes = disk(task, config, costs, evaluations) + result.kept_bytes;
  return result;
}

std::string forecast_text(const Forecast& f) {
  char text[1200];
  const double seconds = f.seconds_draw + f.seconds_rate + f.seconds_update + f.seconds_evaluate;
  std::snprintf(
      text, sizeof text,
      "work            %.3g FLOP (%.3g GFLOP a guided step of one image, %.1f GFLOP/s here)\n"
      "time            %.2f hours (%.0f s): drawing %.0f s, rating %.0f s, updates %.0f s, "
      "evaluation %.0f s\n"
      "peak memory     %s, %s of it an epoch's trajectories\n"
      "reward queries  %lld in training, %lld in evaluations\n"
      "transitions     %lld an epoch\n"
      "updates         %lld of %lld trained values\n"
      "disk            %s\n",
      f.flop, f.flop_per_step / 1e9, f.gflops, seconds / 3600, seconds, f.seconds_draw,
      f.seconds_rate, f.seconds_update, f.seconds_evaluate, data::bytes_text(f.peak_bytes).c_str(),
      data::bytes_text(f.trajectory_bytes).c_str(), static_cast<long long>(f.queries),
      static_cast<long long>(f.evaluated), static_cast<long long>(f.transitions),
      static_cast<long long>(f.optimizer_steps), static_cast<long long>(f.trained_values),
      data::bytes_text(f.disk_bytes).c_str());
  if (f.kept_bytes == 0) return text;
  return text + data::formatted("trajectories    %s of the disk\n",
                                data::bytes_text(f.kept_bytes).c_str());
}

}  // namespace finetune
