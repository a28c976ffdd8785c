#pragma once

#include "finetune/policy/kept_trajectories.hpp"
#include "finetune/policy/methods/method.hpp"
#include "finetune/policy/step_credit.hpp"
#include "finetune/task/training_config.hpp"

namespace finetune {

// What a finetuning run is told. Words and defaults are those of diffusers and TRL where they have
// one.
struct FinetuneConfig : TrainingConfig {
  PolicyMethod method;  // of policy_methods, or made from options of its own

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
  // Steps (from 0, the noisiest) at which the images of a prompt part, as branches of a tree;
  // empty: each image has a chain of its own. See branch_sizes.
  std::vector<int64_t> branch;

  int64_t sample_num_steps = 10;
  double sample_eta = 1.0;             // > 0: deterministic steps have no probability
  std::string step_kind = "ddim";      // how noise enters a step: diffusion::step_kinds
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

  // beta of a method that weighs no KL is recorded, and changes nothing.
  double beta = 0.0;        // reward a nat of KL costs; 0: from target_kl
  double target_kl = 10.0;  // nats a trajectory, to choose beta from the spread of the reward
  double clip_range = 0.2;  // nats a step

  StepCredit credit{};  // of methods whose loss is a mean over steps
  KeptTrajectories keep{};
};

}  // namespace finetune
