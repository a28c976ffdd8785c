#pragma once

// The model of `laurel sample`.

#include <filesystem>

#include "tools/sample/options.hpp"

namespace tools {

// The checkpoint, with the network, the VAE's settings and the LoRAs that the options name, on the
// device. Throws BadInput as they are read.
diffusion::Pipeline load_sample_model(const SampleConfig& config, at::Device device);

// The file whose hash identifies the model: the single file, or the network's.
std::filesystem::path weights_of(const SampleConfig& config, const diffusion::Pipeline& pipeline);

}  // namespace tools
