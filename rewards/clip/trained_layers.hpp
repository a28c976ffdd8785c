#pragma once

// Which parts of a CLIP a finetuning changes.

#include <string>

#include "data/train/optimizers.hpp"
#include "rewards/clip/model.hpp"

namespace rewards {

// The last layers of each tower that are trained, with the vision tower's post_layernorm and the
// text tower's final_layer_norm and projection (as Social Reward's released code does); -1:
// everything of that tower, 0: nothing of it.
struct ClipLayers {
  int64_t vision = 3, text = 2;
};

// Makes those tensors trained ones, every tensor a copy of its own, and lists them in checkpoint
// order.
train::Params trained_layers(Clip& clip, const ClipLayers& layers);

}  // namespace rewards
