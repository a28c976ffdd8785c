#pragma once

// MPS, the overall score (Zhang et al., "Learning multi-dimensional human preference for
// text-to-image generation", 2024): a CLIP H and four blocks of cross attention from the prompt to
// the image tokens, masked to the words of the prompt that are similar to a list of attributes.

#include <ATen/core/Tensor.h>

#include <vector>

#include "data/nn/layers.hpp"
#include "data/weights/tensor_map.hpp"
#include "rewards/clip/model.hpp"
#include "rewards/loader/entry.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/loader/sources.hpp"

namespace rewards {

struct MpsCross {  // cross attention and a parallel feed-forward
  nn::Norm norm;
  nn::Linear to_q, to_kv, to_out, ff_in, ff_out;
};
struct MpsSelf {  // parallel self attention and feed-forward from one projection, rotary embedding
  nn::Norm norm;
  nn::Linear fused, attn_out, ff_out;
  at::Tensor inv_freq;  // [d / 2]
};
struct MpsLayer {
  MpsCross cross;
  MpsSelf self;
};
struct Mps {
  Clip clip;
  std::vector<MpsLayer> layers;
  double threshold = 0.3;  // of the mask, as in the official evaluation (the model's code: 0.01)
};

// "cross_model.*" with or without "mps." before it.
std::vector<MpsLayer> take_mps_layers(const data::Weights& weights, int64_t width);

// query: [B, Q, D]; context: [B, L, D]; mask: [B, L] added to the scores -> [B, Q, D]
at::Tensor mps_cross_forward(const std::vector<MpsLayer>& layers,
                             const at::Tensor& query,
                             const at::Tensor& context,
                             const at::Tensor& mask);

// x: [B, 3, S, S] preprocessed; ids: [B, L] of the prompts; condition: [1, L] of the attributes ->
// [B]. The mask divides each similarity by the largest of its own image, so that a score does not
// depend on the batch (the release divides by the batch's largest).
at::Tensor mps_forward(const Mps& w,
                       const at::Tensor& x,
                       const at::Tensor& ids,
                       const at::Tensor& condition);

// spec.argument: one file with the CLIP and cross_model.*. Settings: threshold, tokenizer.
Reward mps_reward(const RewardSpec& spec, const RewardSources& sources);

extern const FamilyEntry kMpsFamily;

}  // namespace rewards
