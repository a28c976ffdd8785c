#pragma once

// A reward on latents that learns, while the student trains, to order images as an expert reward
// does (the latent proxy reward model of RG-LCD, Li et al. 2024, section 4.2). The expert only ever
// looks at finished images, so it need not be differentiable; and a gradient through a network that
// sees latents alone does not carry the VAE's and the expert's blind spots into fine textures.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>

#include "data/nn/latent_tower.hpp"
#include "data/train/train_state.hpp"

namespace finetune {

// A small CLIP-like scorer: a convolutional tower on the latent against the mean of the text
// encoder's rows, and a part that needs no text.
struct LatentScorer {
  nn::LatentTower tower;
  nn::Linear image_projection;  // [P, 4 W]
  nn::Linear text_projection;   // [P, D]
  nn::Linear alone;             // [1, 4 W]
  at::Tensor logit_scale;       // [] its logarithm
};
LatentScorer make_latent_scorer(int64_t latent_channels,
                                int64_t text_width,
                                at::Generator& generator);
void for_each_tensor(LatentScorer& w, const std::string& prefix, const data::TensorVisitor& visit);

// latents: [B, C, h, w], unit variance; hidden: [B, L, D] -> [B], in spreads of the expert
at::Tensor latent_score(const LatentScorer& w, const at::Tensor& latents, const at::Tensor& hidden);

// Mean over all pairs of a batch of KL(softmax(expert pair) || softmax(score pair)), both in the
// same unit. expert, score: [B] -> []
at::Tensor pair_softmax_kl(const at::Tensor& expert, const at::Tensor& score);

// The scorer in training.
struct LatentReward {
  LatentScorer scorer;
  train::TrainState state;
  double spread = 0;  // of the expert's values in the first batch: the unit of the pairs' logits
  int64_t updates = 0;
};
LatentReward make_latent_reward(int64_t latent_channels,
                                int64_t text_width,
                                at::Device device,
                                int64_t seed);

// Gradient of -mean over the batch of spread * score at the latents; the scorer is left untouched.
struct LatentGradient {
  at::Tensor gradient;  // as the latents
  double mean = 0;      // of the score, in the expert's spreads
};
LatentGradient latent_gradient(const LatentReward& reward,
                               const at::Tensor& latents,
                               const at::Tensor& hidden);

// One update towards the expert's order of these latents. expert: [B], values that are not finite
// are left out. No gradient reaches the latents.
struct LatentUpdate {
  double kl = 0;
  double accuracy = 0;  // share of pairs that were in the expert's order before the update
};
LatentUpdate update_latent_reward(LatentReward& reward,
                                  const at::Tensor& latents,
                                  const at::Tensor& hidden,
                                  const at::Tensor& expert,
                                  double learning_rate);

// <folder>/latent_reward.safetensors, whole state. Throws BadInput when it is damaged.
void save_latent_reward(const std::filesystem::path& folder, LatentReward& reward);
void load_latent_reward(const std::filesystem::path& folder, LatentReward& reward);

}  // namespace finetune
