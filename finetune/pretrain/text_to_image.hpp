#pragma once

// The loop that trains a text-to-image network on latents encoded once. What it learns to say of a
// noised latent is its objective: that of a UNet (unet.hpp), or of a flow (flow.hpp).

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/train/training_loop.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/datasets/latents.hpp"
#include "finetune/pretrain/exam.hpp"

namespace finetune {

struct PretrainOptions {
  train::LoopOptions loop{.max_train_steps = 10000,
                          .lr_warmup_steps = 200,
                          .validation_steps = 1000,
                          .checkpointing_steps = 1000};
  std::string optimizer = "adamw";  // adamw | muon
  // Threads, each with its part of a batch; part of what makes a run repeatable.
  int64_t num_workers = 2;
  double lr_decay_from = 0.8;  // fraction of the training; from there down to 0 in a straight line
  // Captions replaced by the empty prompt, for classifier-free guidance.
  double proportion_empty_prompts = 0.1;
  ExamOptions exam;
};

struct PretrainBatch {
  at::Tensor latents;  // [B, C, h, w] unit variance
  at::Tensor hidden;   // [B, L, D]
  at::Tensor pooled;   // [B, P]; undefined where the network reads none
  at::Tensor caption;  // [B] int64: row of the set's captions, 0 the empty one
  at::Tensor t;        // [B] as the objective draws it
  at::Tensor noise;    // [B, C, h, w] standard normal
};

struct PretrainObjective {
  std::map<std::string, std::string> settings;  // identify the run beside its options
  std::function<diffusion::Network(at::Generator&)> make_network;
  std::function<at::Tensor(int64_t count, at::Generator&)> draw_times;  // -> [count]
  // Means over the batch, []. done: fraction of the run, 0 .. 1
  std::function<at::Tensor(const diffusion::Network&, const PretrainBatch&, double done)> loss;
  std::function<at::Tensor(const diffusion::Network&, const PretrainBatch&)> held_out_loss;
};

struct PretrainResult {
  diffusion::Network network;  // the moving average's weights
  int64_t steps = 0;
  double minutes = 0;  // of training, all sittings together
  double held_out_loss = 0;
  std::vector<ExamResult> exams;  // one for each set
};
// `pipeline` holds all parts but the network; `train` and `held_out` were encoded with it. Writes
// output_dir/{metrics.jsonl, state.safetensors, samples/}; `print` gets a line of progress at each
// log interval. Without a time limit a resumed run equals an uninterrupted one bit for bit.
PretrainResult pretrain(const PretrainOptions& options,
                        const PretrainObjective& objective,
                        const diffusion::Pipeline& pipeline,
                        const LatentSet& train,
                        const LatentSet& held_out,
                        const std::vector<ExamSet>& exams,
                        const std::function<void(const std::string&)>& print);

}  // namespace finetune
