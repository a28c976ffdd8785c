#pragma once

// The model of `laurel sample`.

#include <filesystem>

#include "tools/sample/jobs.hpp"
#include "tools/sample/options.hpp"
#include "tools/sample/prompts.hpp"

namespace tools {

// Whether there is a memory limit, and the blocks of a transformer can stay in their file and its
// text encoders leave memory: where nothing changes weights, asks for gradients or reads texts
// while images are sampled.
bool can_stream(const SampleConfig& config, const std::vector<SamplePrompt>& prompts);

// Whether nothing asks for the network's plain weights while images are sampled on the CPU: a
// prompt's LoRAs, a guide, deltas, a trial of the memory.
bool can_prepack(const SampleConfig& config, const std::vector<SamplePrompt>& prompts);

// The checkpoint, with the network, the VAE's settings and the LoRAs that the options name, on the
// device. Throws BadInput as they are read.
diffusion::Pipeline load_sample_model(const SampleConfig& config, at::Device device);

// Encodes the texts of all jobs; then the text encoders of Stable Diffusion 3 and FLUX.1 leave
// memory, unless there are too many texts. No effect on other families.
void encode_texts(const std::vector<SampleJob>& jobs,
                  int64_t clip_skip,
                  diffusion::Pipeline& pipeline);

// The file whose hash identifies the model: the single file, or the network's.
std::filesystem::path weights_of(const SampleConfig& config, const diffusion::Pipeline& pipeline);

}  // namespace tools
