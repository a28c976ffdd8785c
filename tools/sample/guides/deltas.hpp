#pragma once

// `--delta`: what a finetuning changed leads another checkpoint of the same latent space
// (diffusion/sampling/delta_guidance.hpp).

#include <memory>
#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "tools/cli/options.hpp"

namespace tools {

struct DeltaConfig {
  std::vector<std::string> delta;  // LoRA, folder of a network, or model; =STRENGTH
  std::string base;                // the model that they were tuned from; "": the one that samples
};
// Declares --delta and --delta_base.
void declare_deltas(Options& options, DeltaConfig& config);

struct Delta {
  std::string name;  // "style 0.8"
  std::shared_ptr<const diffusion::Pipeline> tuned, reference;
  double strength = 1;
};
// On the device of `led`. Throws BadInput for files that cannot be read or do not fit, a strength
// that is not a number in [-10, 10], and models of another latent space or noise schedule than
// `led`'s, or where `led` edits images, that read other axes of requested reward.
std::vector<Delta> load_deltas(const DeltaConfig& config, const diffusion::Pipeline& led);

// Adds them to what leads a micro-batch of `led`, `options` being those of generate().
void lead_by_deltas(const std::vector<Delta>& deltas,
                    const diffusion::Pipeline& led,
                    const std::vector<diffusion::ImageRequest>& batch,
                    const diffusion::GenerateOptions& options,
                    diffusion::BatchGuide& guide);

}  // namespace tools
