#pragma once

// Direct preference for denoising diffusion policy optimisation: Yang, Tao, Lyu, Ge, Chen, Li,
// Shen, Zhu, Li, "Using human feedback to fine-tune diffusion models without any reward model"
// (CVPR 2024). Of each two images of a prompt the one with the higher reward is preferred, at every
// step of the chain. Four things differ from the published code. All pairs of a prompt count, not
// one. Equal rewards make no pair; there the first of two equal images wins. The ratio is of whole
// steps, in nats, not of means over the latent's dimensions. The clamp is around the policy that
// drew the images, as for the other methods; there it is around the starting model, log 1.1 of the
// mean, a range that a run does not reach.

#include <ATen/core/Tensor.h>

#include <vector>

#include "finetune/policy/methods/method.hpp"

namespace finetune {

struct D3poGradient {
  at::Tensor weights;        // [P, T] fp64 on the CPU: d loss / d u
  double loss = 0;           // mean over pairs and unmasked steps, then over prompts with a pair
  int64_t pairs = 0;         // with different rewards
  double clip_fraction = 0;  // of the unmasked steps: |u - u_old| > clip_range
  double accuracy = 0;       // share of the pairs whose better image has the larger sum of u
};

// -log sigmoid(scale (c(u_better) - c(u_worse))) of each pair and step, with c(u) = clamp(u, u_old
// +- clip_range), and its gradient (the paper's equation 10, with a clamp).
//   log_ratio, log_ratio_old: [P, T] log pi / pi_ref of each step now and as drawn, nats
//   rewards: [P], one not finite drops its image; prompt_ids: P; step_mask: [T] of 0 and 1
//   scale > 0: logits a nat; clip_range > 0: nats
D3poGradient d3po_gradient(const at::Tensor& log_ratio,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const at::Tensor& step_mask,
                           double scale,
                           double clip_range);

struct D3poConfig {
  // > 0: logits a nat of the mean over the latent's dimensions; the published code's "beta".
  double preference_scale = 0.1;
};
PolicyMethod d3po_method(const D3poConfig& config = {});

}  // namespace finetune
