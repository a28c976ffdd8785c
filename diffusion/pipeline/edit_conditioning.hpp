#pragma once

// An ordinary model made into one that edits images.

#include <ATen/core/Generator.h>

#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

// A UNet that also reads a source image's latent (Brooks et al., "InstructPix2Pix", 2023, 3.2): the
// new channels of conv_in are zero, the bias is kept. One that reads it already comes back as it
// is.
UNet with_image_input(const UNet& unet);

// A UNet with such a reward branch. Its last layers are zero: the output is the same bit for bit,
// whatever is asked for. Throws BadInput when the config does not fit.
UNet with_reward_branch(const UNet& unet,
                        const RewardBranchConfig& config,
                        at::Generator& generator);

// What an edit should earn.
struct RewardRequest {
  std::vector<double> scores{};  // one an axis, NaN: not asked for; empty: nothing is asked for
  std::string feedback{};        // words on what went wrong, of models that read them
};
// -> rows on the UNet's device. Throws c10::Error when a request has another number of axes.
RewardCondition reward_condition(const Pipeline& pipeline,
                                 const std::vector<RewardRequest>& requests);

// The pooled output of the text encoder, which feedback is read as: one row each, zeros for an
// empty text. -> [N, D]
at::Tensor pooled_texts(const Pipeline& pipeline, const std::vector<std::string>& texts);

}  // namespace diffusion
