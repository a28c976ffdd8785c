#pragma once

// Activation checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016): a
// block's activations are dropped after the forward pass and computed again in the backward pass.

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace train {

using Block = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// block(inputs). With `checkpointing`, and where a gradient is recorded, only the inputs are kept,
// and the backward pass runs the block once more. `parameters`: every tensor that the block uses
// beside its inputs and that may require a gradient; the others in the list are ignored.
// Gradients are the same bit for bit either way: the kernels are the same, and each input enters
// through a view, so that the gradients of its uses inside the block are summed first. The block
// must be deterministic, and is run again after the forward pass has returned: it must own what it
// captures. First derivatives only.
at::Tensor run_block(bool checkpointing,
                     const Block& block,
                     const std::vector<at::Tensor>& inputs,
                     const std::vector<at::Tensor>& parameters);

}  // namespace train
