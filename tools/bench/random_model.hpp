#pragma once

// Checkpoints of the published sizes with random weights, created in memory: their cost does not
// depend on the values.

#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"
#include "rewards/clip/model.hpp"
#include "tools/bench/model_shapes.hpp"

namespace bench {

constexpr int64_t kTimestep = 500;  // of a measured network call

// Its linear layers are of type `compute`, all else is fp32.
diffusion::Network random_network(const ModelShape& shape,
                                  at::ScalarType compute,
                                  at::Device device);

struct RandomModel {
  diffusion::Pipeline pipeline;  // without T5: zeros in its rows' place
  rewards::Clip clip;
};
// `resolution`: native size in pixels; 0: the shape's own. Throws BadInput as shape_by_name and
// latent_side, and for FLUX.1, which reads T5 alone.
RandomModel make_random_model(const std::string& shape, int64_t resolution);
// Writes a folder in diffusers' layout, fp16, with the CLIP in clip/.
void save_random_model(const std::filesystem::path& folder, const RandomModel& model);

// The prompts of the stages: "a red circle", "a green square", ...
std::vector<std::string> some_prompts(int64_t count);

}  // namespace bench
