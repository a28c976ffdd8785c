#pragma once

// The letters of every shape comment:
//   B batch, K samples per prompt, T sampler steps, C H W channels and size of an image or latent,
//   L tokens, D width of an embedding, N heads, M rewards.

#include <ATen/core/Tensor.h>

#include <initializer_list>

namespace data {

// Throws c10::Error unless `x` has this shape; -1 matches any size. `what` names the tensor in the
// message: "unet_forward: x".
void check_shape(const at::Tensor& x, std::initializer_list<int64_t> shape, const char* what);

// "[2, 4, 8, 8]"
std::string shape_text(at::IntArrayRef shape);

}  // namespace data
