#pragma once

namespace data {

// Registers, once, kernels of the meta device (tensors of shapes without values) that PyTorch has
// in Python alone: convolution, norms and attention with their gradients, index_select, where. With
// them the networks here run on meta tensors at any size. Other missing ones throw
// c10::NotImplementedError.
void use_meta_kernels();

}  // namespace data
