#pragma once

// The methods that follow a differentiable reward through the last steps of the chain, as settings
// of one objective:
//   draft      Clark, Vicol, Swersky, Fleet, "Directly Fine-Tuning Diffusion Models on
//              Differentiable Rewards" (ICLR 2024): DRaFT-K, with variance_draws DRaFT-LV
//   alignprop  Prabhudesai, Goyal, Pathak, Fragkiadaki, "Aligning Text-to-Image Diffusion Models
//              with Reward Backpropagation" (2023): the truncation is drawn once a batch. A public
//              trainer drew it anew at every step, so that most of the chain lost its gradient.
//   refl       Xu et al., "ImageReward" (2023), algorithm 1: a late step's prediction of x0 is
//              rated

#include <string>
#include <vector>

#include "finetune/draft/config.hpp"

namespace finetune {

struct DraftMethod {
  const char* name;     // of `laurel finetune NAME` and run.json
  const char* summary;  // one line
  DraftConfig (*defaults)();
};

const std::vector<DraftMethod>& draft_methods();

}  // namespace finetune
