#pragma once

// `--skip_guidance_layers`: Stable Diffusion 3.5 leads away from what it says without some of its
// blocks, as diffusers' StableDiffusion3Pipeline does (skip-layer guidance, Stability AI 2024).

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "tools/cli/options.hpp"

namespace tools {

// By diffusers' names and defaults.
struct SkippedLayersConfig {
  std::string layers;  // "7,8,9"; "": no such guidance
  double scale = 2.8, start = 0.01, stop = 0.2;
};
void declare_skipped_layers(Options& options, SkippedLayersConfig& config);

struct SkippedLayers {
  std::vector<int64_t> layers;  // of the network's blocks; empty: no such guidance
  double scale = 0;
  double start = 0, stop = 1;  // shares of the network's calls between which it leads
};
// Throws BadInput for a text that is no list of blocks, blocks that the network does not have, and
// a start that is not before the stop.
SkippedLayers read_skipped_layers(const SkippedLayersConfig& config,
                                  const diffusion::Pipeline& pipeline);
// "7 8 9 x 2.8 (0.01-0.2)"
std::string skipped_layers_text(const SkippedLayers& skipped);

// Adds scale (prompt - prompt without the layers) to the network's output at the calls i of N with
// start N < i < stop N. `options`: those of generate().
void lead_by_skipped_layers(const SkippedLayers& skipped,
                            const diffusion::Pipeline& led,
                            const std::vector<diffusion::ImageRequest>& batch,
                            const diffusion::GenerateOptions& options,
                            diffusion::BatchGuide& guide);

}  // namespace tools
