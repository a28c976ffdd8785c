#pragma once

// Negative-aware finetuning: Zheng, Chen, Jiang, He, Zhang, Chen, Zhu, Ermon, Liu et al.,
// "DiffusionNFT: Online diffusion reinforcement with forward process" (2025). The policy that draws
// is an average "old" of the network. One output of the network stands for two policies,
//   v+ = (1 - b) v_old + b v,   v- = (1 + b) v_old - b v,
// and with e+ and e- their errors, r in [0, 1] how good the image is,
//   loss = r e+ / b + (1 - r) e- / b.
// All of it is linear in the output, so that it holds for a prediction of epsilon as for one of v.
// At v = v_old, r = 1/2 has no gradient; without normalisation the optimum for one target is
// v_old + (2 r - 1)(target - v_old) / b.

#include "finetune/forward/methods/method.hpp"

namespace finetune {

struct NftConfig {
  double strength = 1;        // b > 0: how much further than the network v+ and v- are
  double advantage_clip = 5;  // > 0: the advantage, in deviations, of r = 1
  // Each error is that of x0, divided by its own root mean square over the latent, which has no
  // gradient: all noise levels weigh about the same. The published code divides by the mean of the
  // absolute values.
  bool normalise = true;
};

// r = A / (2 advantage_clip) + 1/2, cut to [0, 1], A the prompt_advantages. A prompt whose rewards
// are all equal, or with one image, is left out.
ForwardLabels optimality(const RatedImages& images, double advantage_clip);

// now: {e+, e-}; labels.values: r.
ForwardGradient nft_gradient(const ForwardInput& input, const NftConfig& config);

ForwardMethod nft_method(const NftConfig& config = {});

}  // namespace finetune
