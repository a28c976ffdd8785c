#pragma once

// Blocks whose weights stay in the checkpoint's file: a pass reads a block when it comes to it, and
// drops it after that.

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "data/weights/tensor_map.hpp"

namespace diffusion {

// What the names of every transformer's blocks contain.
inline constexpr const char* kStreamedBlocks = "transformer_blocks.";

// Gives a block's tensors of the meta device the values of its file, on `device`. A block has one
// as its member `read`; empty: its weights are in memory.
template <class Block>
using BlockReader = std::function<void(Block& block, at::Device device)>;

// The block with its weights in memory; the same tensors where they are.
template <class Block>
Block in_memory(const Block& block, at::Device device) {
  Block whole = block;
  if (whole.read) whole.read(whole, device);
  whole.read = {};
  return whole;
}

// Gives tensors of the meta device the values that `file` has under their names, in their own type,
// on `device`; visits others without effect. The file's pages are released. Throws BadInput as
// data::take.
data::TensorVisitor reading_visitor(const std::shared_ptr<const data::Weights>& file,
                                    at::Device device);

}  // namespace diffusion
