#pragma once

// Trains a text-conditional UNet, from nothing or from a UNet that exists: the noise-prediction
// loss of Ho et al. 2020, eq. 14, on latents.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/train/training_loop.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "diffusion/sampling/noise_schedule.hpp"
#include "finetune/datasets/latents.hpp"
#include "finetune/pretrain/unet_evaluate.hpp"

namespace finetune {

struct PretrainUNetOptions {
  train::LoopOptions loop{.max_train_steps = 10000,
                          .lr_warmup_steps = 200,
                          .validation_steps = 1000,
                          .checkpointing_steps = 1000};
  diffusion::UNetConfig model;
  std::filesystem::path
      init_unet;  // folder of weights to begin with, of `model`'s shape; "": random

  // Threads, each with its part of a batch; part of what makes a run repeatable.
  int64_t num_workers = 2;
  double lr_decay_from = 0.8;  // fraction of the training; from there down to 0 in a straight line
  double snr_gamma = 5.0;      // 0: off; see min_snr_weights
  // Captions replaced by the empty prompt, for classifier-free guidance.
  double proportion_empty_prompts = 0.1;
  ExamOptions exam;
};

struct UNetBatch {
  at::Tensor latents;  // [B, C, h, w] unit variance
  at::Tensor hidden;   // [B, L, D]
  at::Tensor t;        // [B] int64
  at::Tensor noise;    // [B, C, h, w] standard normal
};
// Mean over the batch of the weighted mean squared error. -> []
at::Tensor unet_loss(const diffusion::UNet& unet,
                     const diffusion::NoiseSchedule& schedule,
                     const UNetBatch& batch,
                     double snr_gamma);

struct PretrainUNetResult {
  diffusion::UNet unet;  // the moving average's weights
  int64_t steps = 0;
  double minutes = 0;  // of training, all sittings together
  double held_out_loss = 0;
  std::vector<ExamResult> exams;  // one for each set
};
// `pipeline` holds all parts but the UNet; `train` and `held_out` were encoded with it. Writes
// output_dir/{metrics.jsonl, state.safetensors, samples/}; `print` gets a line of progress at each
// log interval. Without a time limit a resumed run equals an uninterrupted one bit for bit.
PretrainUNetResult pretrain_unet(const PretrainUNetOptions& options,
                                 const diffusion::Pipeline& pipeline,
                                 const LatentSet& train,
                                 const LatentSet& held_out,
                                 const std::vector<ExamSet>& exams,
                                 const std::function<void(const std::string&)>& print);

}  // namespace finetune
