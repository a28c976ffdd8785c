#pragma once

// Trains a value network on whole chains: noisy latents of every step, and what their ends earned.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "data/train/training_loop.hpp"
#include "rewards/value/network.hpp"

namespace rewards {

// The chains of one prompt. Latents may be half precision, and mapped from a file.
struct PromptChains {
  at::Tensor latents;   // [n, T, C, h, w] as the sampler's network saw them
  at::Tensor expected;  // the same, x0 there; undefined: for networks that do not read it
  at::Tensor rewards;   // [n] fp64, of the ends
  at::Tensor text;      // [D]
};
struct ValueData {
  std::vector<PromptChains> prompts;
  std::vector<double> timesteps;  // T
  std::string digest{};           // a run can only be resumed on the same data
};

// Whether the finite rewards of some prompt's chains differ.
bool reward_varies(const ValueData& data);
// Sets what `config` says of the reward: its mean and its spread within a prompt. Rewards that are
// not finite are left out. Throws BadInput when none varies within a prompt.
void measure_reward(const ValueData& data, ValueConfig& config);

struct ValueTraining {
  train::LoopOptions loop{.train_batch_size = 128,  // states of an update
                          .max_train_steps = 2000,
                          .learning_rate = 1e-3,  // peak of a cosine schedule
                          .lr_warmup_steps = 50,
                          .weight_decay = 0.01,
                          .ema_decay = 0.99,
                          .logging_steps = 100,
                          .validation_steps = 1000000000,
                          .checkpointing_steps = 500};
  // True: `prompt` learns the prompt's mean reward and `own` the rest of an image's. False: their
  // sum learns the reward.
  bool centre = true;
};

// The squared error of a batch, in spreads: the mean over rows of (own - (r - m) / spread)^2 +
// (prompt - (m - mean) / spread)^2, m the prompt's mean; not centred, of (own + prompt - (r - mean)
// / spread)^2.  rewards, means: [B] -> []
at::Tensor value_loss(const ValueConfig& config,
                      const ValueParts& parts,
                      const at::Tensor& rewards,
                      const at::Tensor& means,
                      bool centre);

// Each update reads train_batch_size chains, each at a step drawn at random. Writes metrics.jsonl
// and state.safetensors into loop.output_dir. Resumed, it equals an uninterrupted run bit for bit
// on the CPU.
ValueNetwork train_value(const ValueConfig& config,
                         const ValueData& data,
                         const ValueTraining& options,
                         const std::function<void(const std::string&)>& print);

// The values of all chains of a prompt at all steps. -> [n, T] fp64 in the reward's unit
at::Tensor values_of(const ValueNetwork& w, const ValueData& data, size_t prompt);

}  // namespace rewards
