#pragma once

// The value of a noisy latent: the reward that the finished image will have on average, as a small
// network reads it from a state on the way. It is the state value of reinforcement learning (in
// Fan et al. 2023, "DPOK", a baseline), and its change over a step is that step's progress (Setlur
// et al. 2024, "Rewarding progress").

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "data/nn/latent_tower.hpp"

namespace rewards {

// Whose latents they are, and how noisy they are at a timestep.
struct LatentSpace {
  int64_t channels = 4;
  double scaling_factor = 0.18215, shift_factor = 0;  // of the autoencoder
  // What the autoencoder makes of a fixed latent: a few mean colours, each in [0, 1].
  std::vector<double> fingerprint{};
  std::string prediction = "epsilon";  // of the sampler's network, diffusers' prediction_type
  // Of x = signal x0 + noise epsilon, at timesteps that are spread evenly over the schedule.
  std::vector<double> signals{};
};
// What of `found` differs so that a network for `own` cannot read it: "16 channels, not 4"; "": it
// can. A rounded or slightly tuned autoencoder is the same.
std::string latent_space_difference(const LatentSpace& own, const LatentSpace& found);

struct ValueConfig {
  LatentSpace space{};
  int64_t text_width = 768;     // D, of the sampler's text encoder
  bool reads_expected = false;  // beside the noisy latent the x0 that the sampler expects there
  std::string reward{};         // "aesthetic=1,clip_score=0.1", whose weighted sum it is
  std::string unit{};           // of that sum; "": several rewards
  double mean = 0, spread = 1;  // of the reward: over all images, and within a prompt; spread > 0
};

struct ValueNetwork {
  ValueConfig config;
  nn::LatentTower tower;              // of C channels, or 2 C with the expected latent
  nn::Linear time_1, time_2, text;    // [E, E], [E, E], [E, D]: the condition, [B, E]
  nn::Linear modulate_1, modulate_2;  // [4 W, E], [8 W, E]: of the tower's norms
  nn::Linear own_1, own_2;            // [E, 4 W + E], [1, E]
  nn::Linear prompt_1, prompt_2;      // [E, D], [1, E]
};
ValueNetwork make_value_network(const ValueConfig& config, at::Generator& generator);
// The layers beside the tower, by their names in files.
std::vector<std::pair<const char*, nn::Linear*>> linear_layers(ValueNetwork& w);
void for_each_tensor(ValueNetwork& w, const std::string& prefix, const data::TensorVisitor& visit);

struct ValueInput {
  at::Tensor latents;    // [B, C, h, w] as the sampler's network sees them
  at::Tensor expected;   // [B, C, h, w] x0 there; undefined: for a network that does not read it
  at::Tensor timesteps;  // [B]
  at::Tensor text;       // [B, D] the mean of the text encoder's rows
};

// In spreads, the mean subtracted. Both [B]
struct ValueParts {
  at::Tensor prompt;  // the mean reward of the prompt's images
  at::Tensor own;     // by how much this image is better
};
// Throws c10::Error for other shapes.
ValueParts value_parts(const ValueNetwork& w, const ValueInput& input);
// mean + spread (prompt + own), in the reward's unit. -> [B]
at::Tensor value_of(const ValueNetwork& w, const ValueInput& input);

}  // namespace rewards
