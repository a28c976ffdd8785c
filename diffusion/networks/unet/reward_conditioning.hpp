#pragma once

// The part of a UNet that reads the requested reward: a score on each named axis, and feedback in
// words. Two layouts behind one interface; see RewardLayout.

#include <ATen/core/Tensor.h>

#include <string>

#include "diffusion/networks/unet/blocks.hpp"
#include "diffusion/networks/unet/reward_conditioning_config.hpp"

namespace diffusion {

constexpr int64_t kRewardHeads = 8;  // of the published attention

struct RewardBranch {
  // Into the time embedding. native: "reward_embedding.linear_{1,2}"; published:
  // "add_embedding.linear_{1,2}" and, of the feedback, "text_linear2".
  nn::Linear time_1, time_2, text_time;
  // Published layout only. Two tokens: "add_embedding2.linear_{1,2}" and "text_linear".
  nn::Linear token_1, token_2, text_token;
  nn::Norm norm;              // "proj_deal.norm"
  nn::Conv2d proj_in;         // "proj_deal.proj_in"
  nn::Linear q, k, v, out;    // "ca.attention.self.{query,key,value}", "ca.attention.output.dense"
  nn::Norm attention_norm;    // "ca.attention.output.LayerNorm"
  nn::Linear hidden, output;  // "ca.hidden_intermediate.dense", "ca.output.dense"
  nn::Norm output_norm;       // "ca.output.LayerNorm"
  nn::Conv2d proj_out;        // "proj_deal.proj_out"
};

// The requested reward. Undefined tensors: nothing is requested on any axis.
struct RewardCondition {
  at::Tensor scores;  // [B, K] raw; scores that are not requested are not read, and may be NaN
  at::Tensor valid;   // [B, K] bool: requested
  at::Tensor text;    // [B, text_dim] pooled feedback; zeros or undefined: none
};
// The same with every tensor defined; undefined ones request nothing.
RewardCondition completed(const RewardBranchConfig& config,
                          const RewardCondition& reward,
                          int64_t batch);
// The rows of several completed conditions, concatenated.
RewardCondition joined(const std::vector<RewardCondition>& conditions);

// width: channels of conv_in; time_width: of the time embedding.
struct RewardSizes {
  int64_t width, time_width;
};
RewardBranch build_reward_branch(const LayerSource& source,
                                 const RewardBranchConfig& config,
                                 const RewardSizes& sizes);
void visit_layers(RewardBranch& w, const std::string& prefix, const LayerVisitor& visit);

// Zero-initialises the last layer of each input path: a new branch does not change the output.
void zero_init_outputs(RewardBranch& w);

// Added to the time embedding. batch: rows, for a condition that is undefined. -> [B, time_width]
at::Tensor reward_time(const RewardBranch& w,
                       const RewardBranchConfig& config,
                       const RewardCondition& reward,
                       int64_t batch);

// Published: h + attention from every pixel to the two tokens; native: h. h: [B, C, H, W] after
// conv_in -> the same shape
at::Tensor reward_attention(const RewardBranch& w,
                            const RewardBranchConfig& config,
                            const RewardCondition& reward,
                            const at::Tensor& h,
                            int64_t groups);

}  // namespace diffusion
