#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace finetune {

// What every run is told, whatever it trains for: what is trained, by what optimiser, how it is
// watched and kept. A round is an epoch of PRDP, an optimiser step of distillation.
struct TrainingConfig {
  int64_t seed = 0;

  int64_t sample_batch_size = 32;       // images drawn at once
  bool gradient_checkpointing = false;  // recompute activations: memory, not mathematics
  bool vae_tiling = false;  // decode large images in tiles: memory, slightly other images

  std::string normalise_rewards = "none";  // none, pooled, prompt, rank, running, fixed
  std::string reward_statistics;           // file of fixed
  std::string aggregate = "sum";           // a row of rewards::aggregates()
  double soft_min_temperature = 1.0;
  double aggregate_k = 1.0;      // of mean_std and uncertainty
  double robust_nominal = 0.5;   // of robust: weight of the nominal member
  std::string caps;              // "imagereward=..2": limits in raw units
  std::string constraints;       // "clip_score>=25,kl<=20": on a reward's mean, on the KL
  double constraint_rate = 0.1;  // of a multiplier, an epoch and a spread missed
  bool learn_weights = false;    // of all rewards but the first, the primary one
  double primary_share = 1;      // of a prompt's images that the primary rates; at least one
  double auxiliary_rate = 0.1, auxiliary_decay = 0.1,
         largest_auxiliary = 1;  // of the learnt weights

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

  // auto: on where there are held-out rewards, else warn. on: brakes and stops a run. warn: says
  // so.
  std::string guard = "auto";
  double guard_tolerance = 0.25;  // a fall of the held-out rewards that is borne, in deviations
  double guard_kl = 0;  // nats a trajectory; 0: three times the bound or target_kl, without one 100
  std::string guard_control;  // a run without reward that a distillation is compared with

  int64_t checkpointing_steps =
      20;  // optimiser steps; written at the end of a round; 0: only at the end
  int64_t checkpoints_total_limit = 2;  // the newest are kept; 0: all
};

}  // namespace finetune
