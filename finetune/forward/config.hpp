#pragma once

#include "finetune/forward/methods/method.hpp"
#include "finetune/task/training_config.hpp"

namespace finetune {

// What a training by denoising errors is told.
struct ForwardConfig : TrainingConfig {
  ForwardMethod method;  // of forward_methods, or made from options of its own

  // Online, each epoch: prompts_per_epoch prompts, images_per_prompt images of each, drawn and
  // rated; then num_inner_epochs optimiser steps on those that the method chooses.
  int64_t num_epochs = 20;
  int64_t prompts_per_epoch = 8;
  int64_t images_per_prompt = 8;  // >= 2
  int64_t num_inner_epochs = 4;

  // From people's choices: optimiser steps, and the choices of each.
  int64_t max_train_steps = 200;
  int64_t choices_per_update = 16;
  double margin_scale = 0;       // logits a unit of a choice's own margin; 0: it is not read
  bool cache_reference = false;  // the starting model's errors once, at fixed draws
  bool asks_for_scores = false;  // the choices have scores (with_scores): evaluate at the highest

  int64_t draws = 4;                      // of noise and timestep, of an image and optimiser step
  double snr_gamma = 0;                   // of min_snr_weights; 0: all noise levels weigh the same
  double proportion_empty_prompts = 0.1;  // of the draws: guidance keeps its unconditional half
  int64_t train_batch_size = 32;          // noised latents at once: memory, not mathematics

  // How images are drawn, in training and evaluation: any sampler.
  std::string sampling_method = "ddim";
  int64_t sample_num_steps = 10;
  double sample_eta = 1.0;             // of ddim: 1: DDPM's noise; 0: none
  double sample_guidance_scale = 5.0;  // 1: no guidance
};

}  // namespace finetune
