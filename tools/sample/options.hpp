#pragma once

// The options of `laurel sample`.

#include <cstdint>
#include <string>
#include <vector>

#include "tools/cli/device.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/options.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/sample/conditions.hpp"
#include "tools/sample/guides/kinds.hpp"

namespace tools {

struct SampleConfig {
  ModelConfig checkpoint;
  std::string unet;                    // folder of a finetuned UNet; "": the model's
  std::vector<std::string> lora;       // FILE or FILE=WEIGHT
  double lora_scale = 1.0;             // weight of LoRAs without one
  std::string lora_dir;                // folder for names and <lora:name:weight>
  std::vector<std::string> embedding;  // FILE, NAME=FILE or a folder of textual inversions
  std::vector<std::string> prompt;
  std::string prompts;  // file
  std::string negative_prompt;
  int64_t count = 1;  // images per prompt
  int64_t seed = 0;   // of a prompt's first image; the next ones count up; -1: random
  int64_t steps = 20;
  double cfg_scale = 5.0;
  ConditionConfig conditions;
  std::string sampling_method;   // "": the model's
  std::string timestep_spacing;  // "": the model's
  double eta = 0.0;
  int64_t height = 0, width = 0;  // pixels, 0: the model's own
  int64_t batch_size = 0;         // images computed together; 0: up to 8
  int64_t clip_skip = 0;
  int64_t max_sequence_length = 256;  // T5's tokens
  bool prompt_weighting = false;
  bool vae_tiling = false, vae_slicing = false;
  std::string max_memory;             // "12GB"; "": no limit
  int64_t vae_tile_size = 0;          // pixels, 0: the VAE's own
  std::string latents, save_latents;  // safetensors files
  int64_t best_of = 1;                // candidates per image
  GuideConfig guide;
  DeltaConfig deltas;
  SkippedLayersConfig skipped;
  std::string reward;  // specification: "aesthetic=1,clip_score=0.5"
  std::string output_dir = "samples";
  bool resume = false;
  bool no_provenance = false, no_workflow = false;
  DeviceConfig device;
  RewardSourceConfig sources;
};

void declare_sample(Options& options, SampleConfig& config);
// Throws BadInput for options that do not go together.
void check_sample(const SampleConfig& config);

}  // namespace tools
