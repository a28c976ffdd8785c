#pragma once

namespace data {

// Registers, once, kernels for the meta device (tensors with a shape and no values) that PyTorch
// has in Python only: convolution, norms and attention with their gradients, index_select, where.
// The networks here then run on meta tensors of any size. Other missing kernels throw
// c10::NotImplementedError.
void use_meta_kernels();

}  // namespace data
