#pragma once

// Checkpoints of the published sizes with random weights, created in memory: their cost does not
// depend on the values.

#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/clip/model.hpp"

namespace bench {

constexpr int64_t kTokens = 77;     // of a measured text
constexpr int64_t kTimestep = 500;  // of a measured network call

// The configs of a family's networks.
struct ModelShape {
  diffusion::UNetConfig unet;
  diffusion::VaeConfig vae;
  nn::ClipTextConfig text;
  std::optional<nn::ClipTextConfig> text_2;  // of SDXL
  rewards::ClipConfig clip;                  // of the reward: ViT-H/14, as for HPSv2 and PickScore
};

// sd15, sd21, sdxl; tiny and tiny-xl for tests. Throws BadInput, with these names, for another.
ModelShape shape_by_name(const std::string& name);
// Side of the latents for an image with this side in pixels. Throws BadInput when it does not fit.
int64_t latent_side(const ModelShape& shape, int64_t resolution);

struct RandomModel {
  diffusion::Pipeline pipeline;
  rewards::Clip clip;
};
// `resolution`: native size in pixels; 0: the shape's own. Throws BadInput as the two above.
RandomModel make_random_model(const std::string& shape, int64_t resolution);
// Writes a folder in diffusers' layout, fp16, with the CLIP in clip/.
void save_random_model(const std::filesystem::path& folder, const RandomModel& model);

// The prompts of the stages: "a red circle", "a green square", ...
std::vector<std::string> some_prompts(int64_t count);

}  // namespace bench
