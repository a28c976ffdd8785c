#pragma once

// The images that `laurel sample` makes of its prompts.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tools/sample/options.hpp"
#include "tools/sample/prompts.hpp"

namespace tools {

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
void resolve_family(SampleConfig& config,
                    const GivenOptions& given,
                    const at::Tensor& image,
                    const diffusion::Pipeline& pipeline);

// Images that are computed together unless --batch_size says otherwise.
constexpr int64_t kMicroBatch = 8;
int64_t micro_batch_of(const SampleConfig& config, size_t requests);

// Each prompt `config.count` times. `random_seed` stands in for a seed of -1.
std::vector<SampleJob> plan_jobs(const std::vector<SamplePrompt>& prompts,
                                 const SampleConfig& config,
                                 uint64_t random_seed);

// Jobs that can be computed together, by index; those of one size, steps, guidance, length of text
// and set of LoRAs. In order of their first.
std::vector<std::vector<size_t>> group_jobs(const std::vector<SampleJob>& jobs);

// The number that the next image of a folder gets: one above the highest "<number>-<seed>.png".
int64_t next_number(const std::string& folder);

// "00012-345.png"
std::string image_name(int64_t number, uint64_t seed);

}  // namespace tools
