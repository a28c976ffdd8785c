#pragma once

// Activation checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016): a
// block's activations are freed after the forward pass and recomputed in the backward pass.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace train {

using Block = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// block(inputs). With `checkpointing`, and where a gradient is recorded, only the inputs are stored
// and the backward pass runs the block again. `parameters`: every tensor that the block uses beside
// its inputs and that may require a gradient; others in the list are ignored.
// Gradients are bit for bit those without checkpointing: the kernels are the same, and each input
// enters through a view, so that the gradients of its uses inside the block are summed first.
// The block must be deterministic and must own what it captures, because it runs again after the
// forward pass has returned. First derivatives only.
at::Tensor run_block(bool checkpointing,
                     const Block& block,
                     const std::vector<at::Tensor>& inputs,
                     const std::vector<at::Tensor>& parameters);

}  // namespace train
