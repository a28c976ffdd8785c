#pragma once

// One pass of a small transformer.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "diffusion/networks/network.hpp"

namespace tests {

// At waves as latents [1, C, 4, 4] and three rows of text, without gradients.
inline at::Tensor transformer_output(const diffusion::Network& network) {
  const at::NoGradGuard no_grad;
  const auto of = diffusion::traits(network);
  const at::Tensor x = at::arange(of.in_channels * 16, at::kFloat).cos().view({1, -1, 4, 4});
  const at::Tensor hidden = at::arange(3 * of.context_width, at::kFloat).sin().view({1, 3, -1});
  diffusion::ExtraConditions extra;
  extra.text_embeds = at::ones({1, of.pooled_width});
  return diffusion::forward(network, x, at::full({1}, 500.0), hidden, extra);
}

}  // namespace tests
