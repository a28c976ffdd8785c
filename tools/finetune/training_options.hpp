#pragma once

// What every training command is told beside the training itself: model, prompts, rewards, places.

#include <string>
#include <vector>

#include "finetune/distributed/process_group.hpp"
#include "finetune/task/training_config.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"

namespace tools {

constexpr double kHuge = 1e300;  // of an option's range: no limit

struct TrainingCommand {
  ModelConfig checkpoint;
  std::string output_dir;             // empty: runs/<method>
  std::string prompts;                // a prompt file; "world": the built-in captions
  std::vector<std::string> captions;  // in place of a prompt file that is not named
  std::string validation_prompts;     // a prompt file, not trained on
  std::string negative_prompt;
  // Of a model that edits, in place of prompts: folders or JSONL files, see
  // data/images/edit_dataset.hpp.
  std::string edits, validation_edits;
  std::string request = "auto";     // what the edits should earn, as `laurel edit --request`
  double image_guidance_scale = 1;  // 1: none
  int64_t max_train_prompts = 0;    // 0: all
  int64_t resolution = 0;           // pixels; 0: the model's own
  std::string reward = "aesthetic=1,clip_score=0.1";
  std::string primary, auxiliary;  // where weights are learnt; then `reward` is both
  std::vector<rewards::RewardWeight> trained_rewards;  // `reward`, parsed
  std::string eval_rewards = "auto";
  std::string guard_rewards = "auto";  // by which the guard judges; see choose_guard_rewards
  std::string train = "lora";
  std::string report_to = "tensorboard";  // what every run writes
  struct Metadata {
    std::string title, author, description, license, tags;
  };
  Metadata metadata;  // what the written files say of themselves; empty: what the run knows
  std::string save_as = "auto";  // what a full training writes: auto | unet | whole
  std::string resume_from_checkpoint;
  bool dry_run = false;
  RewardSourceConfig sources;
  DeviceConfig device;
  finetune::ProcessGroupTimeouts ranks;
};

// Groups of options. Each says what it declares by its title in --help; a Rarity is of the options
// that some commands show and others do not.
void declare_run(Options& options,
                 TrainingCommand& command,
                 finetune::TrainingConfig& config,
                 Rarity resolution = Rarity::kRare);
void declare_prompts(Options& options, TrainingCommand& command);
// Of commands that combine the rewards of an epoch.
void declare_combination(Options& options, finetune::TrainingConfig& config);
// Throws BadInput for a normaliser without the statistics that it reads, and for the reverse.
void check_combination(const finetune::TrainingConfig& config);
// `schedule`: of lr_scheduler and ema_decay.
void declare_training(Options& options,
                      TrainingCommand& command,
                      finetune::TrainingConfig& config,
                      Rarity schedule = Rarity::kRare);
struct RecordRarity {
  Rarity validation_prompts = Rarity::kUsual, eval_images = Rarity::kUsual;
};
void declare_records(Options& options,
                     TrainingCommand& command,
                     finetune::TrainingConfig& config,
                     const std::string& round,  // "epochs": what eval_every counts
                     const RecordRarity& rarity = {});
// Of commands that train on rewards.
void declare_guard_rewards(Options& options, TrainingCommand& command);
// Of commands whose images are drawn by a chain with noise.
void declare_guard_kl(Options& options, finetune::TrainingConfig& config);
void declare_ranks(Options& options, TrainingCommand& command, finetune::TrainingConfig& config);

}  // namespace tools
