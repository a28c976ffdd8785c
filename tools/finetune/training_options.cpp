#include "tools/finetune/training_options.hpp"

#include "data/base/error.hpp"
#include "data/train/lr_schedule.hpp"
#include "rewards/combine/aggregate.hpp"
#include "rewards/combine/normalisers.hpp"

namespace tools {

void declare_run(Options& options,
                 TrainingCommand& command,
                 finetune::TrainingConfig& config,
                 Rarity resolution) {
  options.group("run");
  declare_model(options, command.checkpoint);
  options.rare(resolution)
      .integer("resolution", command.resolution, "pixels; 0: the model's own", 0, 4096);
  options.text("output_dir", command.output_dir, "folder of the run [runs/<method>]");
  options.short_name("output_dir", 'o');
  options.integer("seed", config.seed, "of everything that is drawn", 0);
  options.text(
      "resume_from_checkpoint", command.resume_from_checkpoint,
      "`latest` (else a new run), `latest-good` (the newest undamaged), or a checkpoint folder");
  options.flag("dry_run", command.dry_run, "two real steps, then what the whole run will cost");
  declare_device(options, command.device, Rarity::kRare);
}

void declare_prompts(Options& options, TrainingCommand& command) {
  options.group("prompts and rewards");
  options.text("prompts", command.prompts,
               "prompt file; `world`: built-in captions, as of embedded models");
  options.alias("train_prompts", "prompts");
  options.rare().integer("max_train_prompts", command.max_train_prompts,
                         "train on so many of them; 0: all", 0);
  options.rare().text("negative_prompt", command.negative_prompt, "in place of the empty prompt");
  options.text("reward", command.reward, "trained rewards and weights");
  options.short_name("reward", 'r');
  options.alias("rewards", "reward");
  declare_reward_sources(options, command.sources, Rarity::kRare, Rarity::kRare);
}

void declare_combination(Options& options, finetune::TrainingConfig& config) {
  options.choice("normalise_rewards", config.normalise_rewards,
                 rewards::normaliser_names(rewards::Stage::kTraining),
                 "one scale before weighting");
  options.rare().choice("aggregate", config.aggregate, rewards::aggregate_names(true),
                        "of several rewards, or of each one's members");
  options.rare().number("soft_min_temperature", config.soft_min_temperature, "of soft_min", 1e-6,
                        kHuge);
  options.rare().number("aggregate_k", config.aggregate_k, "of mean_std and uncertainty", 0, kHuge);
  options.rare().number("robust_nominal", config.robust_nominal,
                        "of robust: weight of the nominal member", 0, 1);
  options.rare().text("reward_statistics", config.reward_statistics,
                      "of fixed: laurel score --save-statistics");
  options.rare().text("caps", config.caps,
                      "limits in raw units: imagereward=..2; auto: where a held-out reward turns");
  options.rare().text(
      "constraints", config.constraints,
      "kept by Lagrange multipliers: clip_score>=25, or =25; policy methods: kl<=20");
  options.rare().number("constraint_rate", config.constraint_rate, "of the multipliers, an epoch",
                        0, kHuge);
}

void check_combination(const finetune::TrainingConfig& config) {
  const auto& normaliser =
      rewards::normaliser_by_name(config.normalise_rewards, rewards::Stage::kTraining);
  if (normaliser.reads_statistics == config.reward_statistics.empty())
    throw data::BadInput(
        "reward_statistics: goes with normalise_rewards = fixed, a file of laurel score "
        "--save-statistics; found only one of them");
}

void declare_training(Options& options,
                      TrainingCommand& command,
                      finetune::TrainingConfig& config,
                      Rarity schedule) {
  options.group("training");
  options.choice("train", command.train, {"lora", "full"}, "adapters, or the whole UNet");
  options.rare().choice(
      "save_as", command.save_as, {"auto", "unet", "whole"},
      "--train full: unet/ alone, or the checkpoint as it came [a single file: whole]");
  options.integer("rank", config.rank, "of the adapters", 1, 4096);
  options.alias("network_dim", "rank");
  options.alias("lora_rank", "rank");
  options.rare().number("network_alpha", config.network_alpha, "scale alpha / rank; 0: rank", 0,
                        kHuge);
  options.alias("lora_alpha", "network_alpha");
  options.rare().list("lora_targets", config.lora_targets, "ends of layer names");
  options.number("learning_rate", config.learning_rate, "AdamW's", 0, 100);
  options.alias("lr", "learning_rate");
  options.rare(schedule).choice("lr_scheduler", config.lr_scheduler, train::lr_schedule_names(),
                                "after the warm-up");
  options.rare().integer("lr_warmup_steps", config.lr_warmup_steps, "optimiser steps", 0);
  options.rare().number("adam_beta1", config.adam_beta1, "AdamW's", 0, 0.999999);
  options.rare().number("adam_beta2", config.adam_beta2, "AdamW's", 0, 0.999999);
  options.rare().number("adam_epsilon", config.adam_epsilon, "AdamW's", 1e-30, 1);
  options.rare().number("adam_weight_decay", config.adam_weight_decay, "AdamW's", 0, 10);
  options.rare().number("max_grad_norm", config.max_grad_norm, "gradient clipping", 1e-12, kHuge);
  options.rare(schedule).number("ema_decay", config.ema_decay,
                                "of a moving average of the weights; 0: off", 0, 0.999999);
  options.rare().flag("gradient_checkpointing", config.gradient_checkpointing,
                      "recompute activations: a third more time, far less memory");
  options.rare().flag("vae_tiling", config.vae_tiling, "decode large images in tiles: less memory");
}

void declare_records(Options& options,
                     TrainingCommand& command,
                     finetune::TrainingConfig& config,
                     const std::string& round,
                     const RecordRarity& rarity) {
  options.group("what the written files say of themselves");
  TrainingCommand::Metadata& told = command.metadata;
  options.rare().text("metadata_title", told.title, "in lists of models; [the run's name]");
  options.rare().text("metadata_author", told.author, "a name or an address");
  options.rare().text("metadata_description", told.description,
                      "Markdown [the command, the model, the rewards]");
  options.rare().text("metadata_license", told.license, "also in the model card's heading");
  options.rare().text("metadata_tags", told.tags, "with commas [laurel, reward-finetuning]");
  options.group("evaluation and checkpoints");
  options.integer("eval_every", config.eval_every, round + "; 0: before and after", 0);
  options.alias("validation_epochs", "eval_every");
  options.rare(rarity.validation_prompts)
      .text("validation_prompts", command.validation_prompts, "prompt file, not trained on");
  options.integer("eval_prompts", config.eval_prompts,
                  "seen and unseen prompts, of each; 0: no evaluation", 0, 65536);
  options.rare(rarity.eval_images)
      .integer("eval_images", config.eval_images, "images of each", 1, 65536);
  options.alias("num_validation_images", "eval_images");
  options.rare().integer("eval_seed", config.eval_seed, "first seed", 0);
  options.rare().text("eval_rewards", command.eval_rewards,
                      "rewards that are reported only; auto: the oracle of the built-in world");
  options.choice("guard", config.guard, {"auto", "on", "warn", "off"},
                 "stops a gamed run; auto: given held-out rewards");
  options.rare().number("guard_tolerance", config.guard_tolerance,
                        "fall of the held-out rewards that is borne, in deviations", 0, kHuge);
  options.integer("checkpointing_steps", config.checkpointing_steps,
                  "optimiser steps; 0: at the end", 0);
  options.rare().integer("checkpoints_total_limit", config.checkpoints_total_limit,
                         "newest that are kept; 0: all", 0);
  options.rare().choice("report_to", command.report_to, {"tensorboard"},
                        "a run always writes TensorBoard's events and metrics.jsonl");
}

void declare_guard_rewards(Options& options, TrainingCommand& command) {
  options.rare().text("guard_rewards", command.guard_rewards,
                      "held-out rewards to judge by; auto: with other weights than the trained");
}

void declare_guard_kl(Options& options, finetune::TrainingConfig& config) {
  options.rare().number("guard_kl", config.guard_kl,
                        "nats a trajectory that are borne; 0: 3 x the bound or target_kl, else 100",
                        0, kHuge);
}

void declare_ranks(Options& options, TrainingCommand& command, finetune::TrainingConfig& config) {
  options.group("several processes (torchrun, srun, mpirun)");
  options.rare().flag("shard_optimizer", config.shard_optimizer,
                      "each rank keeps its part of AdamW's moments (ZeRO 1): memory");
  options.rare().number("rendezvous_timeout", command.ranks.meeting,
                        "seconds until all ranks are there", 1, 86400);
  options.rare().number("rank_timeout", command.ranks.silence,
                        "seconds without a sign of life until a rank is lost", 3, 86400);
}

}  // namespace tools
