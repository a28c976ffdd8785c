#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace finetune {

enum class Method { kPrdp, kDdpo };

// What every run is told, whatever it trains for: what is trained, by what optimiser, how it is
// watched and kept. A round is an epoch of PRDP, an optimiser step of distillation.
struct TrainingConfig {
  int64_t seed = 0;

  int64_t sample_batch_size = 32;       // images drawn at once
  bool gradient_checkpointing = false;  // recompute activations: memory, not mathematics
  bool vae_tiling = false;  // decode large images in tiles: memory, slightly other images

  std::vector<double> reward_weights;  // one a trained reward
  std::vector<std::string> reward_names;
  std::string normalise_rewards = "none";  // none, pooled, prompt, rank, running, fixed
  std::string reward_statistics;           // file of fixed
  std::string aggregate = "sum";           // sum, mean, min, soft_min, mean_std, uncertainty
  double soft_min_temperature = 1.0;
  double aggregate_k = 1.0;      // of mean_std and uncertainty
  std::string caps;              // "imagereward=..2": limits in raw units
  std::string constraints;       // "clip_score>=25": on a reward's mean
  double constraint_rate = 0.1;  // of a multiplier, an epoch and a spread missed

  bool train_full = false;  // the whole UNet instead of adapters
  bool save_whole =
      false;  // with train_full: the checkpoint in the form that it came in, not unet/
  int64_t rank = 8;
  double network_alpha = 0.0;  // 0: rank
  std::vector<std::string> lora_targets = {"to_q", "to_k", "to_v", "to_out.0"};
  double learning_rate = 1e-3;
  std::string lr_scheduler = "constant";
  int64_t lr_warmup_steps = 0;
  double adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8, adam_weight_decay = 1e-4;
  double max_grad_norm = 1.0;
  double ema_decay = 0.0;        // 0: off
  bool shard_optimizer = false;  // AdamW's moments shared out among the ranks

  int64_t eval_every = 5;    // rounds; 0: only before and after
  int64_t eval_prompts = 8;  // of each split
  int64_t eval_images = 2;   // of each prompt
  int64_t eval_seed = 1000000;
  int64_t stop_after_hacking =
      0;  // evaluations in a row with the trained reward up and the held-out down; 0: go on

  int64_t checkpointing_steps =
      20;  // optimiser steps; written at the end of a round; 0: only at the end
  int64_t checkpoints_total_limit = 2;  // the newest are kept; 0: all
};

// What a finetuning run is told. Words and defaults are those of diffusers and TRL where they have
// one.
struct FinetuneConfig : TrainingConfig {
  Method method = Method::kPrdp;

  // Each epoch: prompts_per_epoch prompts, images_per_prompt images of each; all pairs inside a
  // prompt.
  int64_t num_epochs = 20;
  int64_t prompts_per_epoch = 8;
  int64_t images_per_prompt = 8;   // >= 2
  int64_t num_inner_epochs = 1;    // K: passes over an epoch's images
  int64_t prompts_per_update = 0;  // optimiser steps inside a pass; 0: one step on all prompts
  bool offline = false;            // draw offline_epochs of images once, from the starting model
  int64_t offline_epochs = 8;
  bool share_noise = false;  // the images of a prompt start at the same noise

  int64_t sample_num_steps = 10;
  double sample_eta = 1.0;             // > 0: deterministic steps have no probability
  double sample_guidance_scale = 5.0;  // 1: no guidance; sampling and training use the same
  double sigma_min = 0.0;  // floor of a step's standard deviation, in sampling and scoring alike
  // Steps (from 0, the noisiest) that leave the objective. With skip_sharp_steps also those whose
  // mean is so much more sensitive, for their noise, than the others that they alone would decide
  // the log-ratio: see high_kl_steps.
  std::vector<int64_t> skip_steps;
  bool skip_sharp_steps = true;
  int64_t train_batch_size = 32;  // trajectories a micro-batch: memory, not mathematics
  double timestep_fraction =
      1.0;  // (0, 1]: share of the steps that carry a gradient, drawn anew each update

  double beta = 0.0;        // reward a nat of KL costs; 0: from target_kl
  double target_kl = 10.0;  // nats a trajectory, to choose beta from the spread of the reward
  double clip_range = 0.2;  // nats a step
  bool mean_units =
      false;  // beta and clip_range are given in the paper's units: means over steps and dimensions
  double adv_clip_max = 5.0;  // DDPO's
};

}  // namespace finetune
