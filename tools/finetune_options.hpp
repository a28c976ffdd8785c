#pragma once

// What `laurel finetune` is told beside the training itself: models, prompts, rewards, places.

#include <string>
#include <vector>

#include "finetune/config.hpp"
#include "tools/device.hpp"
#include "tools/options.hpp"
#include "tools/reward_options.hpp"

namespace tools {

struct FinetuneCommand {
  finetune::FinetuneConfig config;
  std::string model;               // empty: the embedded world's
  std::string output_dir;          // empty: runs/<method>
  std::string prompts;             // a prompt file; "world": the built-in captions
  std::string validation_prompts;  // a prompt file, not trained on
  std::string negative_prompt;
  int64_t max_train_prompts = 0;  // 0: all
  int64_t resolution = 0;         // pixels; 0: the model's own
  std::string reward = "aesthetic=1,clip_score=0.1";
  std::string eval_rewards = "auto";
  std::string train = "lora";
  std::string units = "nat";
  std::string skip_steps = "auto";  // "none", "8,9"
  std::string resume_from_checkpoint;
  bool dry_run = false;
  std::string max_memory;  // "12GB"; empty: no limit
  RewardSourceConfig sources;
  DeviceConfig device;
};

void declare_finetune(Options& options, FinetuneCommand& command);

// Moves what was given as text into the config, and checks what single options cannot. Throws
// BadInput.
void resolve_finetune(FinetuneCommand& command, const std::string& method);

}  // namespace tools
