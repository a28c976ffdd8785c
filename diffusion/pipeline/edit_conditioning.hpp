#pragma once

// Turns a text-to-image model into one that edits images.

#include <ATen/core/Generator.h>

#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// A UNet that also reads a source image's latent (Brooks et al., "InstructPix2Pix", 2023, 3.2): the
// new channels of conv_in are zero, the bias is kept. A UNet that reads it already is returned
// unchanged.
UNet with_image_input(const UNet& unet);

// The UNet with a new reward branch. Its last layers are zero, so the output is the same bit for
// bit, whatever is requested. Throws BadInput when the config does not fit.
UNet with_reward_branch(const UNet& unet,
                        const RewardBranchConfig& config,
                        at::Generator& generator);

// The reward that an edit should get.
struct RewardRequest {
  std::vector<double> scores{};  // one for each axis, NaN: not requested; empty: none requested
  std::string feedback{};        // criticism in words, for models that read it
};
// -> rows on the UNet's device. Throws c10::Error when a request has another number of axes.
RewardCondition reward_condition(const Pipeline& pipeline,
                                 const std::vector<RewardRequest>& requests);

// The pooled output of the text encoder, by which feedback is encoded: a row for each text, zeros
// for an empty one. -> [N, D]
at::Tensor pooled_texts(const Pipeline& pipeline, const std::vector<std::string>& texts);

}  // namespace diffusion
