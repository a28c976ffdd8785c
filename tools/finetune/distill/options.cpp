#include "tools/finetune/distill/options.hpp"

#include "data/base/error.hpp"
#include "data/device/memory.hpp"
#include "data/images/generation_parameters.hpp"
#include "tools/finetune/reward_view.hpp"

namespace tools {
namespace {

constexpr int64_t kGuidanceWidth = 256;  // LCM's time_cond_proj_dim

void declare_data(Options& options, DistillCommand& command) {
  options.group("training images");
  options.text("data", command.data, "folder of captioned images; `world`: drawn scenes");
  options.alias("train_data_dir", "data");
  options.rare().integer("images", command.images, "scenes to draw from the world", 1, 100000000);
  options.rare().text("latents", command.latents,
                      "file where the encoded images are kept for other runs");
}

void declare_distillation(Options& options, DistillCommand& command) {
  auto& config = command.config;
  options.group("distillation");
  options.integer("max_train_steps", config.max_train_steps, "optimiser steps", 1, 100000000);
  options.alias("steps", "max_train_steps");
  options.integer("train_batch_size", config.train_batch_size, "latents of a step", 1, 65536);
  options.rare().number(
      "caption_mix", config.caption_mix,
      "share of them whose caption has tokens of another's: follows the teacher beyond the data", 0,
      0.95);
  options.integer("num_ddim_timesteps", config.num_ddim_timesteps,
                  "of the teacher's solver; divides the schedule", 1, 100000);
  options.rare().choice("loss_type", command.loss_type, {"huber", "l2"},
                        "between student and target");
  options.rare().number("huber_c", config.huber_c, "where huber turns from squares to sizes", 1e-12,
                        kHuge);
  options.rare().number("timestep_scaling_factor", config.timestep_scaling,
                        "of the boundary condition", 1e-6, kHuge);
  options.number("w_min", config.w_min, "guidance that the student learns, as guidance scale - 1",
                 0, 100);
  options.number("w_max", config.w_max, "up to", 0, 100);
  options.number("guidance_scale", command.guidance_scale,
                 "of evaluations and of a student without an embedding: w + 1", 1, 101);
  options.alias("cfg_scale", "guidance_scale");
  options.integer("unet_time_cond_proj_dim", command.guidance_width,
                  "width of the embedding of w; 0: none; -1: 256, with --train lora none", -1,
                  65536);
}

void declare_reward(Options& options, DistillCommand& command) {
  auto& config = command.config;
  options.group("reward guidance");
  options.number("beta", config.beta, "weight of the reward; 0: from reward_share", 0, kHuge);
  options.alias("reward_scale", "beta");
  options.number("reward_share", config.reward_share,
                 "of the distillation's gradient, which the reward's begins with", 1e-6, 1000);
  options.rare().text("caps", config.caps,
                      "limits beyond which a reward pulls no more: clip_score=..90");
  options.integer("reward_batch_size", config.reward_batch_size, "latents of a step rated; 0: all",
                  0, 65536);
  options.rare().integer("reward_chunk", config.reward_chunk, "decoded at once: memory alone", 1,
                         65536);
  declare_reward_view(options, command.reward_view);
  options.rare().flag("two_pass", config.two_pass,
                      "reward's graph before the VAE's: memory, one decode");
  options.number("on_policy", config.on_policy,
                 "share of steps that rate the last step of the student's own chain", 0, 1);
  options.rare().integer("on_policy_steps", config.on_policy_steps, "longest such chain", 1, 50);
  options.flag("latent_reward", config.latent_reward,
               "learn the reward on latents on the way: any reward will do, no decoder in the way");
  options.rare().integer("latent_reward_warmup", config.latent_reward_warmup,
                         "its updates before the student follows it", 0, 1000000);
  options.rare().number("latent_reward_learning_rate", config.latent_reward_learning_rate,
                        "its AdamW's", 0, 1);
  options.number("diversity_beta", config.diversity_beta,
                 "keeps a prompt's images as far apart as the teacher's without guidance; 0: off",
                 0, kHuge);
  options.rare().integer("diversity_prompts", config.diversity_prompts, "of a step", 1, 65536);
  options.rare().integer("diversity_images", config.diversity_images, "of each", 2, 65536);
}

void declare_evaluation(Options& options, DistillCommand& command) {
  auto& config = command.config;
  options.integer("eval_steps", config.eval_steps, "of the student's samples", 1, 1000);
  options.rare().choice("eval_sampler", config.eval_sampler, {"lcm", "tcd"},
                        "of the student's samples");
  options.integer("teacher_steps", config.teacher_steps, "of the teacher's samples (DDIM)", 1,
                  1000);
  options.rare().integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
}

}  // namespace

void declare_distill(Options& options, DistillCommand& command) {
  declare_run(options, command, command.config);
  options.rare().text("max_memory", command.max_memory,
                      "refuses at the start a step that takes more, with what would fit: 12GB");
  declare_data(options, command);
  declare_prompts(options, command);
  declare_distillation(options, command);
  declare_reward(options, command);
  declare_training(options, command, command.config);
  declare_records(options, command, command.config, "steps",
                  {.validation_prompts = Rarity::kRare, .eval_images = Rarity::kRare});
  declare_guard_rewards(options, command);
  options.rare().text("guard_control", command.config.guard_control,
                      "a run without reward to compare with; none: the first evaluation");
  declare_evaluation(options, command);
  declare_ranks(options, command, command.config);
}

void resolve_distill(DistillCommand& command) {
  auto& config = command.config;
  if (!command.reward.empty())
    command.trained_rewards = rewards::parse_reward_weights(command.reward);
  config.train_full = command.train == "full";
  config.w = command.guidance_scale - 1;
  config.loss = command.loss_type == "l2" ? finetune::LcdLoss::kL2 : finetune::LcdLoss::kHuber;
  config.reward_view = reward_view_of(command.reward_view);
  config.time_cond_proj_dim = command.guidance_width >= 0 ? command.guidance_width
                              : config.train_full         ? kGuidanceWidth
                                                          : 0;
  if (config.time_cond_proj_dim > 0 && !config.train_full) {
    throw data::BadInput(
        "unet_time_cond_proj_dim: expected 0 with --train lora, found " +
        std::to_string(config.time_cond_proj_dim) +
        "; an adapter cannot carry the embedding of w: leave it out, or take --train full");
  }
  if (config.w_min > config.w_max) {
    throw data::BadInput("w_min: expected at most w_max (" + data::short_number(config.w_max) +
                         "), found " + data::short_number(config.w_min));
  }
  if (config.time_cond_proj_dim > 0 && (config.w < config.w_min || config.w > config.w_max)) {
    throw data::BadInput(
        "guidance_scale: expected one that the student learns, in [w_min + 1, "
        "w_max + 1] = [" +
        data::short_number(config.w_min + 1) + ", " + data::short_number(config.w_max + 1) +
        "], found " + data::short_number(command.guidance_scale));
  }
  if (command.output_dir.empty()) command.output_dir = "runs/distill";
  if (!command.max_memory.empty()) data::parse_bytes(command.max_memory, "max_memory");
}

}  // namespace tools
