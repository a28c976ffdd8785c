#pragma once

// Clean latents with noise, and what a network says of them.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "diffusion/sampling/noise_schedule.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// The output for noised latents, without guidance. x: [B, C, h, w]; t: [B] int64; prompts: B rows
// of its conditioning -> [B, C, h, w]
using NoiseNetwork = std::function<at::Tensor(
    const at::Tensor& x, const at::Tensor& t, const std::vector<int64_t>& prompts)>;

// The network on these prompts, and as one row more on what guidance starts from. scale: for a
// network that reads the guidance scale. Each call is a piece of the rank's work.
NoiseNetwork unguided_network(const TrainingTask& task,
                              const diffusion::Network& network,
                              const std::vector<TrainingPrompt>& prompts,
                              double scale,
                              const ProcessGroup& ranks = {});

// P clean latents.
struct CleanImages {
  at::Tensor latents;            // [P, C, h, w] unit variance, on the CPU
  std::vector<int64_t> prompts;  // P: rows of a NoiseNetwork's conditioning
  int64_t empty_prompt = 0;      // its last row
};

// S draws of a timestep and of noise for each of R rows.
struct NoiseDraws {
  at::Tensor t;                 // [R, S] int64
  std::vector<uint64_t> seeds;  // R S: of the noise
  at::Tensor drops;             // [R, S] bool: the prompt gives way to the empty one
  int64_t rows() const { return t.size(0); }
  int64_t count() const { return t.size(1); }
};
// Rows of one group have the same draws. Each timestep is uniform; those of a group lie in S equal
// stretches of the schedule, and those of all G groups in G S (spread_timesteps). groups: R
NoiseDraws draw_noises(const std::vector<int64_t>& groups,
                       int64_t draws,
                       int64_t num_train_timesteps,
                       double proportion_empty_prompts,
                       at::Generator& generator);

// The draws of some rows, in this order.
NoiseDraws selected(const NoiseDraws& draws, const std::vector<int64_t>& rows);

// A row and one of its draws.
struct NoisedEntry {
  int64_t image = 0;  // of CleanImages
  int64_t row = 0, draw = 0;
};
struct NoisedBatch {
  at::Tensor x, target;          // [b, C, h, w] on the device
  at::Tensor t;                  // [b] int64, on the device
  std::vector<int64_t> prompts;  // b
};
NoisedBatch noised_batch(const diffusion::NoiseSchedule& schedule,
                         const CleanImages& images,
                         const NoiseDraws& draws,
                         const std::vector<NoisedEntry>& entries,
                         at::Device device);

}  // namespace finetune
