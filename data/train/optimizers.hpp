#pragma once

// Parts of every training loop: parameters, AdamW, gradient clipping, learning-rate schedule,
// exponential moving average.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "data/weights/tensor_map.hpp"

namespace train {

// A trained tensor (a leaf that requires a gradient) and its checkpoint name.
struct Param {
  std::string name;
  at::Tensor value;
};
using Params = std::vector<Param>;

// Replaces every tensor of a weight struct by a trainable copy. Lists them in checkpoint order.
template <class S>
Params parameters_of(S& weights, const std::string& prefix) {
  Params params;
  for_each_tensor(weights, prefix, [&](const std::string& name, at::Tensor& tensor) {
    tensor = tensor.detach().clone().requires_grad_(true);
    params.push_back({name, tensor});
  });
  return params;
}

void zero_grad(const Params& params);

// Norm of all gradients together (NaN or infinite when one holds such a value); 0 without
// gradients.
double grad_norm(const Params& params);

// Scales all gradients so that their joint norm is at most `max_norm` (> 0). Returns the norm
// before scaling.
double clip_grad_norm(const Params& params, double max_norm);

// Loshchilov and Hutter, "Decoupled weight decay regularization" (2019), algorithm 2.
struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-4;  // towards zero
};
struct AdamWState {
  at::Tensor step;  // [] fp32: updates done
  std::vector<at::Tensor> exp_avg, exp_avg_sq;
};
AdamWState make_adamw(const Params& params);
// One update with learning rate `lr`, in place. Parameters without a gradient do not change.
void adamw_step(const Params& params, AdamWState& state, const AdamWOptions& options, double lr);

// Exponential moving average of parameters: shadow += (1 - decay) (value - shadow), with diffusers'
// ramp decay_n = min(decay, (1 + n) / (10 + n)) at update n, or without it.
struct Ema {
  double decay = 0.999;  // 0: off
  bool ramp = true;
  int64_t updates = 0;
  std::vector<at::Tensor> shadow;
};
Ema make_ema(const Params& params, double decay);
void update_ema(Ema& ema, const Params& params);
// Swaps the values of the parameters and of the average: call it before and after an evaluation.
void swap_ema(Ema& ema, const Params& params);

}  // namespace train
