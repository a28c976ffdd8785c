#pragma once

// Imitation of the better ones of the network's own images, by the loss of pretraining:
//   raft  Dong, Xiong, Goyal, Zhang, Chow, Pan, Diao, Zhang, Shum, Zhang, "RAFT: Reward ranked
//         finetuning for generative foundation model alignment" (2023): the best of a prompt. Their
//         second choice, of the best prompts, is left out: it drops the hard ones.
//   rwr   reward-weighted regression, Peters and Schaal (2007), as Black et al. (2023),
//   section 4.1,
//         have it for diffusion models: all images of a prompt, weighed by exp(reward)
// loss = mean over rows and draws of a_i e / D, e the denoising error, D the latent's dimensions.

#include "finetune/forward/methods/method.hpp"

namespace finetune {

struct ImitationConfig {
  // >= 0: of the squared distance to the starting model's output, mean over D, in the loss
  double distance_coefficient = 0;
};

// The `keep` best of each prompt, each of weight 1; of equal rewards the one with the lower
// splitmix64(seed). A prompt whose rewards are all equal, or with no more than `keep` images, is
// left out: nothing can be learnt from it. Depends on the rewards' order alone.
ForwardLabels best_images(const RatedImages& images, int64_t keep);

// B softmax(reward / (temperature scale)) within each prompt of B images: their mean is 1. A prompt
// whose rewards are all equal is left out. temperature > 0
ForwardLabels weighted_images(const RatedImages& images, double temperature);

// now: the error, and with a coefficient the distance; labels.values: a.
ForwardGradient imitation_gradient(const ForwardInput& input, const ImitationConfig& config);

struct RaftConfig : ImitationConfig {
  int64_t keep = 1;    // of each prompt's images
  int64_t memory = 0;  // ForwardMethod::remembers
};
ForwardMethod raft_method(const RaftConfig& config = {});

struct RwrConfig : ImitationConfig {
  double temperature = 0.5;  // > 0, in spreads of the reward within a prompt at the start
};
ForwardMethod rwr_method(const RwrConfig& config = {});

}  // namespace finetune
