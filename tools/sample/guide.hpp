#pragma once

// Sampling under a reward: `laurel sample --guide particles=4,gradient=0.1 --reward NAME`.

#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "rewards/reward.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct GuideConfig {
  std::string guide;    // "particles=4,gradient=0.1"; "": none
  double strength = 0;  // nats a unit of the weighted reward; 0: what resamples each time
  int64_t times = 3;    // that particles are rated on the way
};
void declare_guide(Options& options, GuideConfig& config);

// What --guide asks for.
struct Guide {
  int64_t particles = 1;  // of an image, that compete; 1: none
  double gradient = 0;    // share of epsilon's length, see diffusion::value_guided; 0: none
};
// Throws BadInput with the place of what cannot be read.
Guide parse_guide(const std::string& text);

// Images computed together: a multiple of the particles.
int64_t guided_batch(const Guide& guide, int64_t batch_size);

struct GuideSetting {
  Guide guide;
  GuideConfig config;
  std::vector<rewards::WeightedReward> rewards;
  std::string log;  // file: a line for each image, what its particles were worth and which went on
};
// Throws BadInput when there is no reward, when the gradient of one is asked for that has none, and
// when particles should compete under a sampler that draws no noise.
void check_guide(const GuideSetting& setting, const diffusion::SamplerOptions& sampler);

// GenerateOptions::guide; a micro-batch holds the particles of an image side by side. The pipeline
// must outlive it.
std::function<diffusion::BatchGuide(const std::vector<diffusion::ImageRequest>& batch)> make_guide(
    const GuideSetting& setting, const diffusion::Pipeline& pipeline);

}  // namespace tools
