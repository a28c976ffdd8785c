#include "finetune/forecast.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <numeric>

#include "data/flops.hpp"
#include "finetune/epoch.hpp"
#include "finetune/trainable.hpp"
#include "finetune/update.hpp"

namespace finetune {
namespace {

constexpr int64_t kSteps = 2;  // real steps of everything

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Seconds and operations of an image (decode, rate) or of an image's step (draw, update).
struct Costs {
  double draw = 0, draw_flop = 0, rate = 0, gradient = 0, gradient_flop = 0;
  int64_t trained_values = 0;
};

Costs measure(const Task& task, const FinetuneConfig& config) {
  Chain chain = make_chain(config, task.scheduler, task.latent_shape, task.device);
  chain.steps.resize(std::min<size_t>(chain.steps.size(), kSteps));
  chain.mask = at::ones({static_cast<int64_t>(chain.steps.size())}, at::kDouble);
  diffusion::UNet unet = task.unet;
  Learner learner = make_learner(config, trained_parameters(unet, config), 1);
  EpochPlan plan = plan_epoch(task.prompts, config, 0, learner.state.generator);
  const auto images = static_cast<size_t>(
      std::min(config.sample_batch_size, config.prompts_per_epoch * config.images_per_prompt));
  plan.draw.prompt_ids.resize(images);
  plan.draw.seeds.resize(images);
  plan.draw.noise_seeds.clear();
  const Denoiser policy = policy_on(task, unet, plan.prompts, config.sample_guidance_scale);
  const double image_steps = static_cast<double>(images * chain.steps.size());
  const auto draw = [&] { return rollout(policy, {}, plan.draw, chain, config.sample_batch_size); };
  Costs costs;
  Trajectories drawn = draw();  // warms up
  costs.draw = seconds_of([&] { drawn = draw(); }) / image_steps;
  costs.draw_flop = static_cast<double>(data::count_flops([&] { draw(); })) / image_steps;
  costs.rate = seconds_of([&] { rate(task, plan, drawn, config.sample_batch_size); }) /
               static_cast<double>(images);
  std::vector<int64_t> rows(images), steps(chain.steps.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::iota(steps.begin(), steps.end(), 0);
  const auto gradient = [&] {
    accumulate_gradient(policy, drawn, rows, steps, chain, config.train_batch_size,
                        [](int64_t, int64_t, const at::Tensor& u) { return at::ones_like(u); });
    take_step(learner);
  };
  costs.gradient = seconds_of(gradient) / image_steps;
  costs.gradient_flop = static_cast<double>(data::count_flops(gradient)) / image_steps;
  for (const auto& param : learner.state.params) costs.trained_values += param.value.numel();
  return costs;
}

std::string bytes_text(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes >= 1e9 ? "%.2f GB" : "%.1f MB",
                bytes / (bytes >= 1e9 ? 1e9 : 1e6));
  return text;
}

double disk(const Task& task,
            const FinetuneConfig& config,
            const Costs& costs,
            int64_t evaluations) {
  const double values = static_cast<double>(costs.trained_values);
  const double state = 4 * values * (config.ema_decay > 0 ? 4 : 3),
               exported = config.train_full ? 2 * values : 8 * values;
  const double kept = config.checkpoints_total_limit > 0
                          ? static_cast<double>(config.checkpoints_total_limit)
                          : static_cast<double>(config.num_epochs);
  const double pixels = 64.0 * static_cast<double>(task.latent_shape[1] * task.latent_shape[2]);
  const double images =
      static_cast<double>((evaluations + 1) * 2 * config.eval_prompts * config.eval_images);
  return kept * (state + exported) + 2 * exported +
         images * pixels * 2;  // a PNG of a picture: about 2 bytes a pixel
}

}  // namespace

Forecast forecast(const Task& task, const FinetuneConfig& config) {
  const Costs costs = measure(task, config);
  const Chain chain = make_chain(config, task.scheduler, task.latent_shape, task.device);
  const double images = static_cast<double>(config.prompts_per_epoch * config.images_per_prompt);
  const double epochs = static_cast<double>(config.num_epochs),
               drawn_epochs = config.offline ? static_cast<double>(config.offline_epochs) : epochs;
  const double steps = static_cast<double>(chain.steps.size()),
               active = static_cast<double>(active_steps(chain));
  const double passes = static_cast<double>(config.num_inner_epochs);
  // Policy and reference each see an epoch's images once; every update but the first recomputes its
  // share, and all have a gradient.
  const double draws = (config.offline ? drawn_epochs : 2 * epochs) * images * steps;
  const double recomputed =
      config.method == Method::kDdpo
          ? 0
          : epochs * images * active *
                    (passes - 1.0 / static_cast<double>(updates_per_epoch(config)) * passes) +
                (config.offline ? epochs * images * active : 0);
  const double gradients = epochs * passes * images * active * config.timestep_fraction;
  const int64_t evaluations =
      1 + (config.eval_every > 0 ? config.num_epochs / config.eval_every : 1);
  Forecast result;
  result.evaluated =
      evaluations * config.eval_images *
      static_cast<int64_t>(
          std::min<size_t>(task.seen.size(), static_cast<size_t>(config.eval_prompts)) +
          std::min<size_t>(task.unseen.size(), static_cast<size_t>(config.eval_prompts)));
  const double evaluated = static_cast<double>(result.evaluated);
  result.flop_per_step = costs.draw_flop;
  result.flop = (draws + recomputed + 2 * evaluated * steps) * costs.draw_flop +
                gradients * costs.gradient_flop;
  result.seconds_draw = draws * costs.draw;
  result.seconds_rate = drawn_epochs * images * costs.rate;
  result.seconds_update = recomputed * costs.draw + gradients * costs.gradient;
  result.seconds_evaluate = evaluated * (2 * steps * costs.draw + costs.rate);
  result.gflops = costs.draw_flop / costs.draw / 1e9;
  result.queries = static_cast<int64_t>(drawn_epochs * images);
  result.optimizer_steps = config.num_epochs * updates_per_epoch(config);
  result.trained_values = costs.trained_values;
  const double stored =
      images * (2 * steps + 1) * static_cast<double>(latent_dimensions(chain)) * 4;
  result.peak_bytes = peak_memory() + stored * (config.offline ? drawn_epochs : 1);
  result.disk_bytes = disk(task, config, costs, evaluations);
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
      "peak memory     %s\n"
      "reward queries  %lld in training, %lld in evaluations\n"
      "updates         %lld of %lld trained values\n"
      "disk            %s\n",
      f.flop, f.flop_per_step / 1e9, f.gflops, seconds / 3600, seconds, f.seconds_draw,
      f.seconds_rate, f.seconds_update, f.seconds_evaluate, bytes_text(f.peak_bytes).c_str(),
      static_cast<long long>(f.queries), static_cast<long long>(f.evaluated),
      static_cast<long long>(f.optimizer_steps), static_cast<long long>(f.trained_values),
      bytes_text(f.disk_bytes).c_str());
  return text;
}

double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) * 1024;
  }
  return 0;
}

}  // namespace finetune
