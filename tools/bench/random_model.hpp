#pragma once

// Checkpoints of the published sizes with random weights, made in memory: what they cost does not
// depend on the numbers in them.

#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/clip/model.hpp"

namespace bench {

// What a family's networks are.
struct ModelShape {
  diffusion::UNetConfig unet;
  diffusion::VaeConfig vae;
  nn::ClipTextConfig text;
  std::optional<nn::ClipTextConfig> text_2;  // SDXL's
  rewards::ClipConfig clip;  // of the reward; ViT-H/14, as HPSv2 and PickScore have it
};

// sd15, sd21, sdxl; tiny and tiny-xl for tests. Throws BadInput naming the known ones.
ModelShape shape_by_name(const std::string& name);
// The latents' side of an image of so many pixels a side. Throws BadInput where it does not fit.
int64_t latent_side(const ModelShape& shape, int64_t resolution);

struct RandomModel {
  diffusion::Pipeline pipeline;
  rewards::Clip clip;
};
// `resolution`: pixels of its native size; 0: the shape's own. Throws BadInput as the two above.
RandomModel make_random_model(const std::string& shape, int64_t resolution);
// As a folder in diffusers' layout, fp16, the CLIP in clip/ beside the other parts.
void save_random_model(const std::filesystem::path& folder, const RandomModel& model);

// "a red circle", "a green square", ...: what the stages are asked to draw.
std::vector<std::string> some_prompts(int64_t count);

}  // namespace bench
