#include "finetune/estimate/memory.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <optional>

#include "data/base/error.hpp"
#include "data/device/device.hpp"
#include "data/device/memory.hpp"
#include "finetune/estimate/step_costs.hpp"
#include "finetune/policy/epoch_states.hpp"
#include "finetune/policy/tree.hpp"
#include "finetune/task/trained_parameters.hpp"

namespace finetune {
namespace {

constexpr double kFloat = 4;        // bytes
constexpr int64_t kLargeSide = 32;  // latents above it are decoded at half their side

double values(const std::vector<int64_t>& shape) {
  return static_cast<double>(shape[0] * shape[1] * shape[2]);
}

// Two points -> the line through them; `area`: the run's latents over those of the points.
PhaseMemory line_through(double one, double two, double area) {
  const double slope = std::max(0.0, two - one);
  return {.fixed = std::max(0.0, one - slope), .per_image = slope * area};
}

// Bytes held while `images` images of these latents are decoded and rated. shape: {C, H, W}
double rating_bytes(const TrainingTask& task, int64_t images, const std::vector<int64_t>& shape) {
  const std::vector<TrainingPrompt> prompts(static_cast<size_t>(images), task.prompts.at(0));
  return static_cast<double>(data::peak_bytes(task.device, [&] {
    const at::NoGradGuard no_gradient;
    const at::Tensor latents =
        at::zeros({images, shape[0], shape[1], shape[2]}, at::TensorOptions(task.device));
    measure_images(task.rewards, decode(task, latents), prompts);
  }));
}

// What a quarter of the area takes is a quarter; tiles are of one size whatever the area.
PhaseMemory rating_memory(const TrainingTask& task, const FinetuneConfig& config) {
  std::vector<int64_t> shape = task.latent_shape;
  double area = 1;
  while (!config.vae_tiling && std::min(shape[1], shape[2]) > kLargeSide && shape[1] % 16 == 0 &&
         shape[2] % 16 == 0) {
    shape[1] /= 2;
    shape[2] /= 2;
    area *= 4;
  }
  return line_through(rating_bytes(task, 1, shape), rating_bytes(task, 2, shape), area);
}

// The largest of batch, batch / 2, ... 1 that fits.
std::optional<int64_t> largest(int64_t batch, const std::function<bool(int64_t)>& fits) {
  for (; batch >= 1; batch /= 2) {
    if (fits(batch)) return batch;
  }
  return std::nullopt;
}

int64_t count_trained(const TrainingTask& task, const FinetuneConfig& config) {
  diffusion::Network unet = task.unet;
  int64_t count = 0;
  if (config.train_full) {
    for_each_tensor(unet, "", [&](const std::string&, at::Tensor& t) { count += t.numel(); });
    return count;
  }
  for (const auto& param : trained_parameters(unet, config)) count += param.value.numel();
  return count;
}

// "sample_batch_size 8, train_batch_size 4, gradient_checkpointing"
std::string settings_text(const FinetuneConfig& chosen) {
  return "sample_batch_size " + std::to_string(chosen.sample_batch_size) + ", train_batch_size " +
         std::to_string(chosen.train_batch_size) +
         (chosen.gradient_checkpointing ? ", gradient_checkpointing" : "") +
         (chosen.vae_tiling ? ", vae_tiling" : "");
}

// The forecast peak with micro-batches of 1.
double least_peak(const TrainingTask& task,
                  FinetuneConfig config,
                  const MemoryModel& model,
                  const std::vector<int64_t>& latent_shape) {
  config.sample_batch_size = config.train_batch_size = 1;
  return peak_bytes(model, config, latent_shape, count_trained(task, config),
                    evaluation_images(task, config));
}

// The same at half the resolution: what an image takes is a quarter.
double least_peak_at_half(const TrainingTask& task,
                          const FinetuneConfig& config,
                          MemoryModel model) {
  for (PhaseMemory* phase : {&model.draw, &model.rate, &model.update}) phase->per_image /= 4;
  const auto& shape = task.latent_shape;
  return least_peak(task, config, model, {shape[0], shape[1] / 2, shape[2] / 2});
}

// Smaller runs than `config`, which `model` is of, and what they take.
std::vector<Alternative> alternatives(const TrainingTask& task,
                                      const FinetuneConfig& config,
                                      const MemoryModel& model) {
  std::vector<Alternative> list{{"half the resolution", least_peak_at_half(task, config, model)}};
  if (!config.train_full) return list;
  FinetuneConfig adapters = config;
  adapters.train_full = false;
  const MemoryModel smaller = memory_model(task, adapters);
  list.push_back({"--train lora", least_peak(task, adapters, smaller, task.latent_shape)});
  list.push_back({"both", least_peak_at_half(task, adapters, smaller)});
  return list;
}

// `least`: the smallest settings that were tried, of `model`.
[[noreturn]] void refuse(const TrainingTask& task,
                         const FinetuneConfig& least,
                         const MemoryModel& model,
                         double limit) {
  throw data::BadInput(
      "max_memory: expected at least " +
      data::bytes_text(1.02 * least_peak(task, least, model, task.latent_shape)) +
      " for this model, size and epoch (micro-batches of 1 with gradient checkpointing), found " +
      data::bytes_text(limit) + "; " + what_would_fit(limit, alternatives(task, least, model)));
}

}  // namespace

std::string what_would_fit(double limit, const std::vector<Alternative>& alternatives) {
  std::string fit;
  for (const auto& [what, bytes] : alternatives) {
    if (bytes <= limit)
      fit += (fit.empty() ? "" : ", ") + what + " (" + data::bytes_text(bytes) + ")";
  }
  return fit.empty() ? "nothing smaller fits either: allow more, or take a smaller model"
                     : "what would fit: " + fit;
}

MemoryModel memory_model(const TrainingTask& task, const FinetuneConfig& config) {
  const StepCosts one = step_costs(task, config, 1), two = step_costs(task, config, 2);
  MemoryModel model;
  model.vae_factor = vae_factor(task);
  model.resident = data::used_memory(task.device);
  model.margin = data::kMatrixBuffers;
  model.holds_trajectories = task.device.is_cpu();
  model.draw = line_through(one.draw.bytes, two.draw.bytes, 1);
  model.rate = rating_memory(task, config);
  model.update = line_through(one.update.bytes, two.update.bytes, 1);
  return model;
}

double bytes_at(const PhaseMemory& phase, int64_t batch) {
  return phase.fixed + phase.per_image * static_cast<double>(batch);
}

double optimizer_bytes(const TrainingConfig& config, int64_t trained_values) {
  return kFloat * static_cast<double>(trained_values) * (config.ema_decay > 0 ? 4 : 3);
}

double trajectory_bytes(const FinetuneConfig& config, const std::vector<int64_t>& latent_shape) {
  const int64_t images = config.prompts_per_epoch * config.images_per_prompt;
  const BranchSizes sizes = branch_sizes(config);
  const int64_t of_a_transition = config.method.imitated_guidance > 0 ? 3 : 2;
  const int64_t latents = of_a_transition * transitions(sizes, images) + images / sizes.at(0);
  return static_cast<double>(latents) * values(latent_shape) * kFloat *
         static_cast<double>(config.offline ? config.offline_epochs : 1);
}

double peak_bytes(const MemoryModel& model,
                  const FinetuneConfig& config,
                  const std::vector<int64_t>& latent_shape,
                  int64_t trained_values,
                  int64_t evaluated_images) {
  const double kept = 2 * optimizer_bytes(config, trained_values);  // and the copy to go back to
  const int64_t images = config.prompts_per_epoch * config.images_per_prompt;
  const int64_t drawn = std::min(config.sample_batch_size, std::max(images, evaluated_images));
  const double sampling = std::max(bytes_at(model.draw, drawn), bytes_at(model.rate, drawn));
  const double update = bytes_at(model.update, std::min(config.train_batch_size, images));
  const double epoch =
      (model.holds_trajectories ? trajectory_bytes(config, latent_shape) : 0) +
      static_cast<double>(config.credit.learner.replay_epochs) * state_bytes(config, latent_shape) +
      std::max(sampling, update);
  const auto per_latent = static_cast<double>(model.vae_factor * model.vae_factor);
  const double pixels =
      3.0 * per_latent * values(latent_shape) / static_cast<double>(latent_shape[0]);
  const double evaluation =
      2 * static_cast<double>(evaluated_images) * pixels * kFloat + sampling;  // kept, and joined
  return model.resident + model.margin + kept + std::max(epoch, evaluation);
}

int64_t evaluation_images(const TrainingTask& task, const TrainingConfig& config) {
  const auto most = static_cast<size_t>(config.eval_prompts);
  return config.eval_images * static_cast<int64_t>(std::min(task.seen.size(), most) +
                                                   std::min(task.unseen.size(), most));
}

FinetuneConfig fit_memory(const TrainingTask& task,
                          const FinetuneConfig& config,
                          double limit,
                          const Reporter& reporter) {
  const std::string what = "max_memory " + data::bytes_text(limit);
  FinetuneConfig chosen = config;
  const int64_t evaluated = evaluation_images(task, config), trained = count_trained(task, config);
  while (true) {
    tile_vae(task, chosen.vae_tiling);
    const MemoryModel model = memory_model(task, chosen);
    const auto peak = [&](int64_t sample, int64_t train) {
      chosen.sample_batch_size = sample;
      chosen.train_batch_size = train;
      return peak_bytes(model, chosen, task.latent_shape, trained, evaluated);
    };
    const auto sample =
        largest(config.sample_batch_size, [&](int64_t b) { return peak(b, 1) <= limit; });
    if (sample) {
      const auto train =
          largest(config.train_batch_size, [&](int64_t b) { return peak(*sample, b) <= limit; });
      const double forecast = peak(*sample, *train);
      reporter.say(what + ": " + settings_text(chosen) + "; forecast peak " +
                   data::bytes_text(forecast));
      return chosen;
    }
    const bool update_is_dearest =
        bytes_at(model.update, 1) > std::max(bytes_at(model.draw, 1), bytes_at(model.rate, 1));
    if (update_is_dearest && !chosen.gradient_checkpointing)
      chosen.gradient_checkpointing = true;
    else if (!update_is_dearest && !chosen.vae_tiling)
      chosen.vae_tiling = true;
    else
      refuse(task, chosen, model, limit);
  }
}

void expect_memory(const TrainingTask& task, const FinetuneConfig& config, double limit) {
  tile_vae(task, config.vae_tiling);
  const double peak = peak_bytes(memory_model(task, config), config, task.latent_shape,
                                 count_trained(task, config), evaluation_images(task, config));
  if (peak <= limit) return;
  const FinetuneConfig fits = fit_memory(task, config, limit, {});
  throw data::BadInput("memory: expected " + data::bytes_text(peak) + " (forecast), found " +
                       data::bytes_text(limit) + " free; what would fit: " + settings_text(fits) +
                       " (--max_memory chooses it)");
}

}  // namespace finetune
