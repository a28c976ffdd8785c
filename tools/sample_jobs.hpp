#pragma once

// What `laurel sample` is asked for, and the images that this comes to.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/prompts.hpp"
#include "tools/device.hpp"
#include "tools/reward_options.hpp"

namespace tools {

struct SampleConfig {
  std::string model;  // folder; "": the embedded one
  std::string unet;   // folder of a finetuned UNet; "": the model's
  std::string lora;   // file; "": none
  double lora_scale = 1.0;
  std::vector<std::string> embedding;  // FILE, NAME=FILE or a folder of textual inversions
  std::vector<std::string> prompt;
  std::string prompts;  // file
  std::string negative_prompt;
  int64_t count = 1;  // images a prompt
  int64_t seed = 0;   // of a prompt's first image, then counting up; -1: random
  int64_t steps = 20;
  double cfg_scale = 5.0;
  std::string sampling_method;   // "": the model's
  std::string timestep_spacing;  // "": the model's
  double eta = 0.0;
  int64_t height = 0, width = 0;  // pixels, 0: the model's own
  int64_t batch_size = 0;         // images computed together; 0: up to 8
  int64_t clip_skip = 0;
  bool prompt_weighting = false;
  bool vae_tiling = false, vae_slicing = false;
  std::string max_memory;             // "12GB"; "": no limit
  int64_t vae_tile_size = 0;          // pixels, 0: the VAE's own
  std::string latents, save_latents;  // safetensors files
  int64_t best_of = 1;                // candidates an image
  std::string reward;                 // specification: "aesthetic=1,clip_score=0.5"
  std::string output_dir = "samples";
  DeviceConfig device;
  RewardSourceConfig sources;
};

// One image to write, with the settings of its prompt's line where it has some.
struct SampleJob {
  std::string prompt, negative_prompt;
  uint64_t seed = 0;  // of the first of its candidates, then counting up
  int64_t height = 0, width = 0, steps = 0;
  double cfg_scale = 0;
  int64_t chunks = 1;  // runs of the text encoder that its longer text takes
};

// The prompts of the flags, then those of the file, each `count` times. Throws BadInput when there
// are none. `random_seed` stands in for a seed of -1.
std::vector<SampleJob> plan_jobs(const SampleConfig& config, uint64_t random_seed);

// Their prompts and negative prompts, each once.
std::vector<std::string> texts_of(const std::vector<SampleJob>& jobs);

// Jobs that can be computed together, by index; those of one size, steps, guidance and length
// of text. In order of their first.
std::vector<std::vector<size_t>> group_jobs(const std::vector<SampleJob>& jobs);

// The number that the next image of a folder gets: one above the highest "<number>-<seed>.png".
int64_t next_number(const std::string& folder);

// "00012-345.png"
std::string image_name(int64_t number, uint64_t seed);

}  // namespace tools
