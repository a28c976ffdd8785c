#pragma once

// What `laurel sample` is asked for, and the images that this comes to.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "data/text/prompt_file.hpp"
#include "tools/cli/device.hpp"
#include "tools/cli/lora_choice.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/sample/conditions.hpp"

namespace tools {

struct SampleConfig {
  ModelConfig checkpoint;
  std::string unet;                    // folder of a finetuned UNet; "": the model's
  std::vector<std::string> lora;       // FILE or FILE=WEIGHT
  double lora_scale = 1.0;             // of those without a weight
  std::string lora_dir;                // where names and <lora:name:weight> are found
  std::vector<std::string> embedding;  // FILE, NAME=FILE or a folder of textual inversions
  std::vector<std::string> prompt;
  std::string prompts;  // file
  std::string negative_prompt;
  int64_t count = 1;  // images a prompt
  int64_t seed = 0;   // of a prompt's first image, then counting up; -1: random
  int64_t steps = 20;
  double cfg_scale = 5.0;
  ConditionConfig conditions;
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
  int64_t chunks = 1;               // runs of the text encoder that its longer text takes
  std::string written_prompt{};     // with its <lora:...> tags, which `prompt` lacks
  std::vector<LoraChoice> loras{};  // of its tags
};

// What the model decides where the user did not: the source image the size, an LCM its four steps
// and its scale (the defaults of diffusers' LatentConsistencyModelPipeline).
struct GivenOptions {
  bool steps = false, cfg_scale = false;
};
void settle_family(SampleConfig& config,
                   const GivenOptions& given,
                   const at::Tensor& image,
                   const diffusion::Pipeline& pipeline);

// Images that are computed together unless --batch_size says otherwise.
constexpr int64_t kMicroBatch = 8;
int64_t micro_batch_of(const SampleConfig& config, size_t requests);

// The prompts of the flags, then those of the file, each `count` times. Throws BadInput when there
// are none, and for tags that name no LoRA. `random_seed` stands in for a seed of -1.
std::vector<SampleJob> plan_jobs(const SampleConfig& config, uint64_t random_seed);

// Their prompts and negative prompts, each once.
std::vector<std::string> all_gather_text(const std::vector<SampleJob>& jobs);

// Jobs that can be computed together, by index; those of one size, steps, guidance, length of text
// and set of LoRAs. In order of their first.
std::vector<std::vector<size_t>> group_jobs(const std::vector<SampleJob>& jobs);

// The number that the next image of a folder gets: one above the highest "<number>-<seed>.png".
int64_t next_number(const std::string& folder);

// "00012-345.png"
std::string image_name(int64_t number, uint64_t seed);

}  // namespace tools
