#pragma once

// The jobs of `laurel sample`: one per image to write.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/sample/options.hpp"
#include "tools/sample/prompts.hpp"

namespace tools {

// One image to write. Settings of the prompt's line replace those of the command.
struct SampleJob {
  diffusion::Prompt prompt, negative_prompt;
  uint64_t seed = 0;  // of the first candidate; the next ones count up
  int64_t height = 0, width = 0, steps = 0;
  double cfg_scale = 0;
  std::string written_prompt{};     // with the <lora:...> tags, which `prompt` lacks
  std::vector<LoraChoice> loras{};  // of the tags
};

// Sets what the user left open: the size, to that of the source image; for an LCM, 4 steps and
// scale 8.5 (the defaults of diffusers' LatentConsistencyModelPipeline), for Stable Diffusion 3 28
// steps and scale 7, for FLUX.1 28 steps of dev, 4 of schnell, and scale 1.
struct GivenOptions {
  bool steps = false, cfg_scale = false;
};
void resolve_family(SampleConfig& config,
                    const GivenOptions& given,
                    const at::Tensor& image,
                    const diffusion::Pipeline& pipeline);

// Sets best_of to the candidates of --guide. Throws BadInput when best_of was given, when a
// batch_size is not a multiple of those that stand side by side in a micro-batch, and when initial
// noise is given to a search over it.
void resolve_guide(SampleConfig& config);

// Default number of images computed together.
constexpr int64_t kMicroBatch = 8;
// Images computed together of so many that are wanted at once.
int64_t micro_batch_of(const SampleConfig& config, size_t requests);

// `config.count` jobs per prompt. `random_seed` replaces a seed of -1.
std::vector<SampleJob> plan_jobs(const std::vector<SamplePrompt>& prompts,
                                 const SampleConfig& config,
                                 uint64_t random_seed);

// Groups, as indices, of jobs that can be computed together: of equal size, steps, guidance, text
// length and LoRAs. Ordered by their first job.
std::vector<std::vector<size_t>> group_jobs(const std::vector<SampleJob>& jobs);

// The number of the next image in a folder: one above the highest "<number>-<seed>.png".
int64_t next_number(const std::string& folder);

// "00012-345.png"
std::string image_name(int64_t number, uint64_t seed);

}  // namespace tools
