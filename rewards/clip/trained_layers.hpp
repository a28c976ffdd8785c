#pragma once

// The layers of a CLIP that a finetuning trains.

#include <string>

#include "data/train/optimizers.hpp"
#include "rewards/clip/model.hpp"

namespace rewards {

// The number of last layers of each tower that are trained, together with the vision tower's
// post_layernorm and the text tower's final_layer_norm and projection, as in Social Reward's
// released code. -1: the whole tower, 0: nothing of it.
struct ClipLayers {
  int64_t vision = 3, text = 2;
};

// Replaces those tensors by trainable copies and returns them in checkpoint order.
train::Params trained_layers(Clip& clip, const ClipLayers& layers);

}  // namespace rewards
