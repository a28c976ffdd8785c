#include "tools/finetune/edit_training_options.hpp"

#include "data/base/error.hpp"

namespace tools {
namespace {

void declare_data(Options& options, EditTrainingCommand& command) {
  options.group("edits");
  options.text("data", command.data, "folder with metadata.jsonl, or a JSONL file, of edits");
  options.alias("train_data_dir", "data");
  options.text("validation_data", command.validation_data, "the same, not trained on");
  options.rare().integer("held_out", command.held_out, "edits kept back where there is none", 1,
                         1000000);
  options.number("min_score", command.min_score,
                 "leave out edits with a lower score on any axis; below 0: keep all", -1e9, 1e9);
  options.text("latents", command.latents, "file where the encoded edits are kept for other runs");
}

void declare_reward_branch(Options& options, EditTrainingCommand& command) {
  options.group("reward branch");
  options.choice("reward_branch", command.reward_branch, {"auto", "native", "published", "none"},
                 "auto: the model's, native where it has none");
  options.list("axes", command.axes, "names of the scores that a new branch reads");
  options.flag("feedback", command.feedback, "a new native branch reads feedback too");
  options.number("reward_dropout", command.config.reward_dropout,
                 "share of edits without any score", 0, 1);
  options.number("reward_axis_dropout", command.config.reward_axis_dropout,
                 "and of each axis by itself", 0, 1);
  options.rare().flag("shuffle_scores", command.config.shuffle_scores,
                      "the control: every edit gets another's scores");
}

void declare_new_unet(Options& options, EditTrainingCommand& command) {
  options.group("a new UNet");
  options.flag("new_unet", command.new_unet, "begin with random weights of this shape");
  options.flag("pixel_space", command.pixel_space,
               "and without a VAE: latents are pixels; implies new_unet");
  options.list("block_out_channels", command.widths, "channels of each level, finest first");
  options.rare().integer("layers_per_block", command.layers_per_block, "residual blocks of a level",
                         1, 8);
  options.rare().integer("attention_levels", command.attention_levels,
                         "levels with attention, from the coarsest", 0, 8);
  options.rare().integer("attention_heads", command.heads, "of every attention", 1, 64);
  options.rare().integer("norm_num_groups", command.norm_num_groups,
                         "divides every level's channels", 1, 512);
  options.rare().text("beta_schedule", command.beta_schedule,
                      "linear, scaled_linear, squaredcos_cap_v2; left out: the model's");
}

void declare_steps(Options& options, EditTrainingCommand& command) {
  auto& config = command.config;
  options.integer("max_train_steps", config.max_train_steps, "optimiser steps", 1, 100000000);
  options.alias("steps", "max_train_steps");
  options.integer("train_batch_size", config.train_batch_size, "edits of a step", 1, 65536);
  options.number("conditioning_dropout_prob", config.conditioning_dropout_prob,
                 "p: text, text and image, image are dropped in p of the edits each", 0, 0.33);
}

void declare_evaluation(Options& options, EditTrainingCommand& command) {
  auto& config = command.config;
  options.integer("eval_steps", config.eval_steps, "of the samples (DDIM)", 1, 1000);
  options.number("guidance_scale", config.guidance_scale, "of the samples, by text; 1: none", 1,
                 100);
  options.rare().number("image_guidance_scale", config.image_guidance_scale,
                        "of the samples, by image", 1, 100);
  options.rare().integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
}

}  // namespace

void declare_edit_training(Options& options, EditTrainingCommand& command) {
  declare_run(options, command, command.config, Rarity::kUsual);
  declare_data(options, command);
  declare_reward_branch(options, command);
  declare_new_unet(options, command);
  declare_training(options, command, command.config, Rarity::kUsual);
  declare_steps(options, command);
  declare_records(options, command, command.config, "steps",
                  {.validation_prompts = Rarity::kRare, .eval_images = Rarity::kRare});
  declare_evaluation(options, command);
}

void resolve_edit_training(EditTrainingCommand& command) {
  if (command.data.empty()) {
    throw data::BadInput(
        "data: expected a folder with metadata.jsonl or a JSONL file of edits, found none; name "
        "one with --data");
  }
  if (command.pixel_space) command.new_unet = true;
  if (command.output_dir.empty()) command.output_dir = "runs/edit";
  command.config.train_full = command.train == "full";
  if (command.new_unet && !command.config.train_full)
    throw data::BadInput("train: a new UNet is trained as a whole, found lora; say --train full");
}

}  // namespace tools
