#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstdio>

#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "diffusion/lora/adapters.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "finetune/edit/evaluate.hpp"
#include "finetune/estimate/measure.hpp"
#include "finetune/estimate/memory.hpp"

namespace finetune {
namespace {

struct EditCosts {
  Work step, forward;  // an optimiser step; one forward pass of a batch
  int64_t trained_values = 0;
  double peak_bytes = 0;
  double export_bytes = 0;  // of copies that writing the model takes: fp16, and fused weights
};

EditCosts measure(const TrainingTask& task, const EditData& data, const EditConfig& config) {
  data::reset_peak_memory(task.device);
  const diffusion::NoiseSchedule schedule = diffusion::make_schedule(task.pipeline->scheduler);
  diffusion::Network unet = task.unet;
  Optimizer optimizer = make_optimizer(config, edit_parameters(unet, config), 1);
  const auto batch = [&] {
    return edit_batch(data.train,
                      draw_edits(data.train, config, task.pipeline->scheduler.num_train_timesteps,
                                 optimizer.state.generator),
                      data.texts, task.device);
  };
  const auto step = [&] {
    edit_errors(unet, schedule, batch()).mean().backward();
    take_step(optimizer);
  };
  EditCosts costs;
  measured(task.device, step);  // to warm up
  costs.step = measured(task.device, step);
  for (const auto& param : optimizer.state.params) costs.trained_values += param.value.numel();
  diffusion::for_each_lora_site(unet, [&](const diffusion::LoraSite& site) {
    if (site.lora.down.defined()) costs.export_bytes += static_cast<double>(site.weight.nbytes());
  });
  for_each_tensor(unet, "", [&](const std::string&, at::Tensor& tensor) {
    costs.export_bytes += 2 * static_cast<double>(tensor.numel());
  });
  // A run keeps one more copy of what is trained, to go back to.
  costs.peak_bytes = data::peak_memory(task.device) + optimizer_bytes(config, costs.trained_values);
  const at::NoGradGuard no_gradient;
  costs.forward = measured(task.device, [&] { edit_errors(unet, schedule, batch()); });
  return costs;
}

}  // namespace

EditForecast forecast_edit(const TrainingTask& task,
                           const EditData& data,
                           const EditConfig& config) {
  const EditCosts costs = measure(task, data, config);
  const auto steps = static_cast<double>(config.max_train_steps);
  const int64_t evaluations =
      1 + (config.eval_every > 0 ? config.max_train_steps / config.eval_every : 1);
  const int64_t prompts = std::min(config.eval_prompts, data.train.size()) +
                          std::min(config.eval_prompts, data.held_out.size());
  diffusion::GuidanceOptions guidance{.scale = config.guidance_scale,
                                      .image_scale = config.image_guidance_scale};
  const int64_t branches =
      diffusion::branch_count(diffusion::guidance_batch(diffusion::traits(task.unet), guidance));
  // Batches of an evaluation, in forward passes of a training batch.
  const double passes = static_cast<double>(evaluations * prompts * config.eval_images *
                                            (branches * config.eval_steps + 4)) /
                        static_cast<double>(config.train_batch_size);
  EditForecast result;
  result.flop_per_step = costs.step.flop;
  result.flop = steps * costs.step.flop + passes * costs.forward.flop;
  result.seconds_train = steps * costs.step.seconds;
  result.seconds_evaluate = passes * costs.forward.seconds;
  result.gflops = costs.step.flop / costs.step.seconds / 1e9;
  result.peak_bytes = costs.peak_bytes + costs.export_bytes;
  result.trained_values = costs.trained_values;
  const double values = static_cast<double>(costs.trained_values);
  double whole = 0;
  diffusion::Network unet = task.unet;
  for_each_tensor(unet, "", [&](const std::string&, at::Tensor& tensor) {
    whole += 2 * static_cast<double>(tensor.numel());
  });
  const double kept = static_cast<double>(std::max<int64_t>(1, config.checkpoints_total_limit));
  result.disk_bytes = kept * (4 * values * (config.ema_decay > 0 ? 4 : 3) + whole) + 2 * whole;
  return result;
}

std::string forecast_text(const EditForecast& f) {
  char text[700];
  const double seconds = f.seconds_train + f.seconds_evaluate;
  std::snprintf(text, sizeof text,
                "work            %.3g FLOP (%.3g GFLOP a step, %.1f GFLOP/s here)\n"
                "time            %.2f hours (%.0f s): steps %.0f s, evaluation %.0f s\n"
                "peak memory     %s\n"
                "trained values  %lld\n"
                "disk            %s, models beside the UNet not counted\n",
                f.flop, f.flop_per_step / 1e9, f.gflops, seconds / 3600, seconds, f.seconds_train,
                f.seconds_evaluate, data::bytes_text(f.peak_bytes).c_str(),
                static_cast<long long>(f.trained_values), data::bytes_text(f.disk_bytes).c_str());
  return text;
}

}  // namespace finetune
