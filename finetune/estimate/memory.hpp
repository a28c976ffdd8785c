#pragma once

// How much memory a run will take, and the micro-batches that keep it under a limit.

#include "finetune/policy/config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// What the tensors of a phase hold at once with a micro-batch of b images, beside what stays:
// fixed + b per_image, in bytes.
struct PhaseMemory {
  double fixed = 0, per_image = 0;
};
double bytes_at(const PhaseMemory& phase, int64_t batch);

struct MemoryModel {
  double resident = 0;  // the process with its models, before a run
  double margin = 0;    // the peak of real steps, less what the phases say of them; or an allowance
  PhaseMemory draw, rate, update;
  int64_t vae_factor = 8;          // the task's
  bool holds_trajectories = true;  // the memory is the CPU's, where they are
};
// Steps are reckoned (step_costs); the rating of one and two images is measured, on smaller latents
// where those of the run are large. `margin` is an allowance for matrix libraries.
MemoryModel memory_model(const TrainingTask& task, const FinetuneConfig& config);

// Bytes of trained values with their moments and moving average.
double optimizer_bytes(const TrainingConfig& config, int64_t trained_values);

// Bytes of an epoch's trajectories (offline: of all of them): latents and the reference's means.
double trajectory_bytes(const FinetuneConfig& config, const std::vector<int64_t>& latent_shape);

// The peak of the run: what is kept (the trained values with moments, average and the copy to go
// back to, trajectories, evaluation images) and the dearest phase.
double peak_bytes(const MemoryModel& model,
                  const FinetuneConfig& config,
                  const std::vector<int64_t>& latent_shape,
                  int64_t trained_values,
                  int64_t evaluated_images);

// Images of one evaluation.
int64_t evaluation_images(const TrainingTask& task, const TrainingConfig& config);

// A smaller run and its forecast peak in bytes.
struct Alternative {
  std::string what;
  double bytes = 0;
};
// "what would fit: --train lora (5.10 GB)", of those within the limit; or that none does.
std::string what_would_fit(double limit, const std::vector<Alternative>& alternatives);

// `config` with the micro-batches, gradient_checkpointing and vae_tiling that keep the forecast
// peak under `limit` bytes: micro-batches are the largest, at most those configured; checkpointing
// (a third more time) and tiling (slightly other images) only where nothing fits without. Throws
// BadInput with what would fit: half the resolution, adapters instead of the whole UNet.
FinetuneConfig fit_memory(const TrainingTask& task,
                          const FinetuneConfig& config,
                          double limit,
                          const Reporter& reporter);

// Throws BadInput where the forecast peak of `config` is over `limit` bytes, with the settings that
// fit, or as fit_memory where none do.
void expect_memory(const TrainingTask& task, const FinetuneConfig& config, double limit);

}  // namespace finetune
