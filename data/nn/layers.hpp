#pragma once

// Layers that text encoders, UNets, VAEs and CLIP rewards share. A layer is a plain struct of
// tensors, named as in the checkpoint, and a free function. Weights are fp32; they are trained when
// their tensors require a gradient.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>

#include "data/weights/tensor_map.hpp"

namespace nn {

// A low-rank adapter of a layer (Hu et al., "LoRA", 2021, eq. 3): y += scale * up(down(x)), scale =
// alpha / rank. None when `down` is undefined. for_each_adaptable_layer visits it, for_each_tensor
// does not.
struct Lora {
  at::Tensor down;  // [rank, in] or [rank, in, k, k]
  at::Tensor up;    // [out, rank] or [out, rank, 1, 1]
  double scale = 1.0;
};
struct Linear {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out], or undefined
  Lora lora;
};
struct Conv2d {
  at::Tensor weight;  // [out, in, k, k]
  at::Tensor bias;    // [out], or undefined
  Lora lora;
};
struct Norm {         // layer norm or group norm
  at::Tensor weight;  // [C]
  at::Tensor bias;    // [C]
};

at::Tensor linear(const Linear& w, const at::Tensor& x);  // [..., in] -> [..., out]
at::Tensor conv2d(const Conv2d& w,
                  const at::Tensor& x,
                  int64_t stride,
                  int64_t pad);  // [B, in, H, W] -> [B, out, ...]
at::Tensor layer_norm(const Norm& w, const at::Tensor& x, double eps);  // over the last axis
at::Tensor group_norm(const Norm& w,
                      const at::Tensor& x,
                      int64_t groups,
                      double eps);  // x: [B, C, ...]
at::Tensor group_norm_silu(const Norm& w, const at::Tensor& x, int64_t groups, double eps);

// own + scale * other and own * other. Where no gradient is recorded, the result overwrites `own`,
// which must not be used elsewhere.
at::Tensor plus(const at::Tensor& own, const at::Tensor& other, double scale = 1.0);
at::Tensor times(const at::Tensor& own, const at::Tensor& other);

// softmax(q k' / sqrt(D / heads)) v, with the heads concatenated in the last axis.
// q: [B, Lq, D], k and v: [B, Lk, D]; mask: undefined, or added to the scores, broadcast to [B,
// heads, Lq, Lk].
at::Tensor attention(const at::Tensor& q,
                     const at::Tensor& k,
                     const at::Tensor& v,
                     int64_t heads,
                     const at::Tensor& mask);

// "<name>.weight" and "<name>.bias" (undefined when absent) of a checkpoint. Throws BadInput for
// other sizes; -1 matches any.
Linear take_linear(const data::Weights& weights, const std::string& name, int64_t out, int64_t in);
Conv2d take_conv2d(
    const data::Weights& weights, const std::string& name, int64_t out, int64_t in, int64_t kernel);
Norm take_norm(const data::Weights& weights, const std::string& name, int64_t channels);

// Random weights as PyTorch initialises its modules: uniform in +-1/sqrt(fan in).
Linear make_linear(int64_t out, int64_t in, bool bias, at::Generator& generator);
Conv2d make_conv2d(int64_t out, int64_t in, int64_t kernel, at::Generator& generator);
Norm make_norm(int64_t channels);

void for_each_tensor(Linear& w, const std::string& name, const data::TensorVisitor& visit);
void for_each_tensor(Conv2d& w, const std::string& name, const data::TensorVisitor& visit);
void for_each_tensor(Norm& w, const std::string& name, const data::TensorVisitor& visit);

}  // namespace nn
