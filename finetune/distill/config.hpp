#pragma once

#include "finetune/distill/lcd.hpp"
#include "finetune/task/reward_gradient.hpp"

namespace finetune {

// What a distillation is told. Names and defaults are those of diffusers' train_lcm_distill scripts
// where they have one. Guidance is w = scale - 1.
struct DistillConfig : RewardGradientConfig {
  int64_t max_train_steps = 1000;
  int64_t train_batch_size = 16;    // latents of an optimiser step
  double caption_mix = 0;           // share of them whose caption has tokens of another's: the
                                    // teacher answers there too, and the student learns to follow
                                    // it beyond the data's captions. They are not rated
  int64_t num_ddim_timesteps = 50;  // of the teacher's solver; divides the schedule
  double timestep_scaling = 10;
  LcdLoss loss = LcdLoss::kHuber;
  double huber_c = 1e-3;
  double w_min = 2, w_max = 14;      // drawn uniformly where the student reads w
  double w = 7.5;                    // of the evaluation, and of a student that reads none
  int64_t time_cond_proj_dim = 256;  // width of the student's guidance embedding; 0: none

  // The reward: loss = LCD - beta mean(R), R = sum of weight times the reward within its caps.
  double beta = 0;                // 0: from reward_share
  double reward_share = 0.2;      // norm of the reward's gradient over the distillation's, both at
                                  // the student's output, over the first steps
  int64_t reward_batch_size = 0;  // latents of a step that are decoded and rated; 0: all
  double on_policy = 0;  // share of the steps whose reward is that of the last step of a chain of
                         // the student's own, instead of one step from a noised training image
  int64_t on_policy_steps = 4;  // longest such chain

  // A reward on latents, trained on the way to order images as the trained rewards do, in their
  // place: they need not be differentiable then.
  bool latent_reward = false;
  int64_t latent_reward_warmup = 50;  // its updates before the student follows it
  double latent_reward_learning_rate = 1e-3;

  // + diversity_beta mean over pairs of a prompt's images of max(0, floor - d), d = 1 - cosine of
  // the clean latents, floor: the teacher's own mean d without guidance. 0: off
  double diversity_beta = 0;
  int64_t diversity_prompts = 4;  // of a step
  int64_t diversity_images = 2;   // of each, from pure noise; >= 2

  int64_t eval_steps = 4;            // of the student
  std::string eval_sampler = "lcm";  // lcm, tcd
  int64_t teacher_steps = 50;        // DDIM's, with guidance: what the student is compared with
};

}  // namespace finetune
