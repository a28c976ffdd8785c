#include "tools/finetune_options.hpp"

#include <charconv>
#include <sstream>

#include "data/error.hpp"
#include "data/memory.hpp"

namespace tools {
namespace {

constexpr double kHuge = 1e300;

void declare_run(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("run");
  declare_model(options, command.checkpoint);
  options.text("output_dir", command.output_dir, "folder of the run [runs/<method>]");
  options.short_name("output_dir", 'o');
  options.integer("seed", config.seed, "of everything that is drawn", 0);
  options.text("resume_from_checkpoint", command.resume_from_checkpoint,
               "`latest` (when there is none: a new run), or a checkpoint folder");
  options.flag("dry_run", command.dry_run, "two real steps, then what the whole run will cost");
  options.text("max_memory", command.max_memory,
               "chooses batch sizes, checkpointing, tiling so that the run fits: 12GB");
  declare_device(options, command.device);
}

void declare_prompts(Options& options, FinetuneCommand& command) {
  options.group("prompts and rewards");
  options.text("prompts", command.prompts, "prompt file; `world`: the built-in captions");
  options.alias("train_prompts", "prompts");
  options.integer("max_train_prompts", command.max_train_prompts,
                  "train on so many of them; 0: all", 0);
  options.text("negative_prompt", command.negative_prompt, "in place of the empty prompt");
  options.text("reward", command.reward, "trained rewards and weights");
  options.short_name("reward", 'r');
  options.alias("rewards", "reward");
  auto& config = command.config;
  options.choice("normalise_rewards", config.normalise_rewards, {"none", "pooled", "prompt"},
                 "divide by the spread before weighting");
  options.choice("aggregate", config.aggregate, {"sum", "soft_min"}, "of several rewards");
  options.number("soft_min_temperature", config.soft_min_temperature, "of soft_min", 1e-6, kHuge);
  declare_reward_sources(options, command.sources);
}

void declare_sampling(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("sampling (the same in training)");
  options.integer("sample_num_steps", config.sample_num_steps, "steps of the chain", 1, 1000);
  options.alias("steps", "sample_num_steps");
  options.number("sample_eta", config.sample_eta, "1: DDPM's noise", 0, 1);
  options.number("sample_guidance_scale", config.sample_guidance_scale, "1: no guidance", 0, 100);
  options.alias("guidance_scale", "sample_guidance_scale");
  options.alias("cfg_scale", "sample_guidance_scale");
  options.number("sigma_min", config.sigma_min, "floor of a step's noise", 0, 10);
  options.integer("resolution", command.resolution, "pixels; 0: the model's own", 0, 4096);
  options.integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
  options.flag("share_noise", config.share_noise, "a prompt's images start at the same noise");
}

void declare_epoch(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("epochs");
  options.integer("num_epochs", config.num_epochs, "draw, rate, update", 1, 1000000);
  options.alias("num_train_epochs", "num_epochs");
  options.integer("prompts_per_epoch", config.prompts_per_epoch, "prompts", 1, 65536);
  options.integer("images_per_prompt", config.images_per_prompt, "images of each", 2, 65536);
  options.integer("num_inner_epochs", config.num_inner_epochs, "K: passes over an epoch's images",
                  1, 10000);
  options.alias("train_num_inner_epochs", "num_inner_epochs");
  options.integer("prompts_per_update", config.prompts_per_update, "an optimiser step sees; 0: all",
                  0, 65536);
  options.flag("offline", config.offline, "draw once, from the starting model");
  options.integer("offline_epochs", config.offline_epochs, "epochs of images to draw then", 1,
                  1000000);
}

void declare_objective(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("objective");
  options.number("beta", config.beta, "reward a nat of KL costs; 0: spread / sqrt(2 target_kl)", 0,
                 kHuge);
  options.alias("kl_beta", "beta");
  options.number("target_kl", config.target_kl, "nats of a trajectory at the optimum", 1e-6, kHuge);
  options.number("clip_range", config.clip_range, "nats a step", 1e-12, kHuge);
  options.alias("train_clip_range", "clip_range");
  options.choice("units", command.units, {"nat", "mean"},
                 "of beta and clip_range; mean: the paper's");
  options.number("adv_clip_max", config.adv_clip_max, "DDPO: largest advantage", 1e-6, kHuge);
  options.alias("train_adv_clip_max", "adv_clip_max");
  options.number("timestep_fraction", config.timestep_fraction,
                 "share of the steps with a gradient", 1e-6, 1);
  options.alias("train_timestep_fraction", "timestep_fraction");
  options.text("skip_steps", command.skip_steps,
               "steps that leave the objective: auto, none, or 8,9");
}

void declare_training(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("training");
  options.choice("train", command.train, {"lora", "full"}, "adapters, or the whole UNet");
  options.choice("save_as", command.save_as, {"auto", "unet", "whole"},
                 "--train full: unet/ alone, or the checkpoint as it came [a single file: whole]");
  options.integer("rank", config.rank, "of the adapters", 1, 4096);
  options.alias("network_dim", "rank");
  options.alias("lora_rank", "rank");
  options.number("network_alpha", config.network_alpha, "scale alpha / rank; 0: rank", 0, kHuge);
  options.alias("lora_alpha", "network_alpha");
  options.list("lora_targets", config.lora_targets, "ends of layer names");
  options.number("learning_rate", config.learning_rate, "AdamW's", 0, 100);
  options.alias("lr", "learning_rate");
  options.choice("lr_scheduler", config.lr_scheduler, {"constant", "cosine", "linear"},
                 "after the warm-up");
  options.integer("lr_warmup_steps", config.lr_warmup_steps, "optimiser steps", 0);
  options.number("adam_beta1", config.adam_beta1, "AdamW's", 0, 0.999999);
  options.number("adam_beta2", config.adam_beta2, "AdamW's", 0, 0.999999);
  options.number("adam_epsilon", config.adam_epsilon, "AdamW's", 1e-30, 1);
  options.number("adam_weight_decay", config.adam_weight_decay, "AdamW's", 0, 10);
  options.number("max_grad_norm", config.max_grad_norm, "gradient clipping", 1e-12, kHuge);
  options.number("ema_decay", config.ema_decay, "of a moving average of the weights; 0: off", 0,
                 0.999999);
  options.flag("gradient_checkpointing", config.gradient_checkpointing,
               "recompute activations: a third more time, far less memory");
  options.flag("vae_tiling", config.vae_tiling, "decode large images in tiles: less memory");
  options.integer("train_batch_size", config.train_batch_size, "trajectories at once: memory alone",
                  1, 65536);
}

void declare_records(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("evaluation and checkpoints");
  options.integer("eval_every", config.eval_every, "epochs; 0: before and after", 0);
  options.alias("validation_epochs", "eval_every");
  options.text("validation_prompts", command.validation_prompts, "prompt file, not trained on");
  options.integer("eval_prompts", config.eval_prompts,
                  "seen and unseen prompts, of each; 0: no evaluation", 0, 65536);
  options.integer("eval_images", config.eval_images, "images of each", 1, 65536);
  options.alias("num_validation_images", "eval_images");
  options.integer("eval_seed", config.eval_seed, "first seed", 0);
  options.text("eval_rewards", command.eval_rewards,
               "held-out rewards; auto: the oracle of the built-in world");
  options.integer("stop_after_hacking", config.stop_after_hacking,
                  "evaluations with the reward up and the held-out down; 0: go on", 0);
  options.integer("checkpointing_steps", config.checkpointing_steps,
                  "optimiser steps; 0: at the end", 0);
  options.integer("checkpoints_total_limit", config.checkpoints_total_limit,
                  "newest that are kept; 0: all", 0);
}

std::vector<int64_t> numbers_of(const std::string& text) {
  std::vector<int64_t> numbers;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) {
      throw data::BadInput(
          "skip_steps: expected auto, none or whole numbers separated by commas, found '" + text +
          "'");
    }
    numbers.push_back(value);
  }
  return numbers;
}

}  // namespace

void declare_finetune(Options& options, FinetuneCommand& command) {
  declare_run(options, command);
  declare_prompts(options, command);
  declare_sampling(options, command);
  declare_epoch(options, command);
  declare_objective(options, command);
  declare_training(options, command);
  declare_records(options, command);
  options.rarely({"max_train_prompts",
                  "save_as",
                  "gradient_checkpointing",
                  "negative_prompt",
                  "aggregate",
                  "soft_min_temperature",
                  "clip",
                  "aesthetic",
                  "jpeg_quality",
                  "sigma_min",
                  "resolution",
                  "sample_batch_size",
                  "vae_tiling",
                  "share_noise",
                  "prompts_per_update",
                  "offline_epochs",
                  "units",
                  "adv_clip_max",
                  "timestep_fraction",
                  "skip_steps",
                  "network_alpha",
                  "lora_targets",
                  "lr_scheduler",
                  "lr_warmup_steps",
                  "adam_beta1",
                  "adam_beta2",
                  "adam_epsilon",
                  "adam_weight_decay",
                  "max_grad_norm",
                  "ema_decay",
                  "eval_seed",
                  "stop_after_hacking",
                  "checkpoints_total_limit",
                  "precision"});
}

void resolve_finetune(FinetuneCommand& command, const std::string& method) {
  auto& config = command.config;
  config.method = method == "ddpo" ? finetune::Method::kDdpo : finetune::Method::kPrdp;
  config.train_full = command.train == "full";
  config.mean_units = command.units == "mean";
  config.skip_sharp_steps = command.skip_steps == "auto";
  const bool listed = command.skip_steps != "auto" && command.skip_steps != "none";
  config.skip_steps = listed ? numbers_of(command.skip_steps) : std::vector<int64_t>();
  if (command.output_dir.empty()) command.output_dir = "runs/" + method;
  if (!command.max_memory.empty()) data::parse_bytes(command.max_memory, "max_memory");
  if (config.prompts_per_update > config.prompts_per_epoch) {
    throw data::BadInput("prompts_per_update: expected at most prompts_per_epoch (" +
                         std::to_string(config.prompts_per_epoch) + "), found " +
                         std::to_string(config.prompts_per_update));
  }
}

}  // namespace tools
