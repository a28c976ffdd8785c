#pragma once

// How an adapter changes one weight: LoRA, and LyCORIS' LoHa and LoKr.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace diffusion {

// Hu et al., "LoRA", 2021: up down.
struct LowRank {
  at::Tensor down;  // [rank, in] or [rank, in, k, k]
  at::Tensor up;    // [out, rank] or [out, rank, 1, 1]
};
// Hyeon-Woo et al., "FedPara", 2022: (w1_a w1_b) * (w2_a w2_b), element by element. With cores of a
// Tucker decomposition (their proposition 3) each factor is t x_1 w_a x_2 w_b.
struct Hadamard {
  at::Tensor w1_a, w2_a;  // [out, rank]; with cores [rank, out]
  at::Tensor w1_b, w2_b;  // [rank, in k k]; with cores [rank, in]
  at::Tensor t1, t2;      // [rank, rank, k, k] or undefined
};
// LyCORIS' LoKr: the Kronecker product of w1 and w2, each whole or a product of two.
struct Kronecker {
  at::Tensor w1, w1_a, w1_b;  // [a, b], or [a, rank] and [rank, b]
  at::Tensor w2, w2_a, w2_b;  // [c, d, k, k], or [c, rank] and [rank, d, k, k]
  at::Tensor t2;              // core of w2 as above, [rank, rank, k, k], or undefined
};
struct Whole {
  at::Tensor diff;  // as the weight
};

struct LoraChange {
  std::variant<LowRank, Hadamard, Kronecker, Whole> form;  // fp32
  double scale = 1.0;                                      // alpha / rank, as the form has it
};

// From a module's tensors by their roles (see LoraName). `alpha` stands in where they have none.
// The scale is alpha / rank; without an alpha, of LoKr with two whole factors and of a whole
// change 1. kohya's mid tensor is folded into the lower one. Throws BadInput beginning with `where`
// for a missing half, for sizes that do not fit each other and for values that are not finite.
LoraChange make_change(std::map<std::string, at::Tensor> roles,
                       std::optional<double> alpha,
                       const std::string& where);

// The change of the weight, scaled: [out, in] or [out, in, k, k].
at::Tensor dense_change(const LoraChange& change);
// Its shape, from the factors' alone; LoHa's without cores is [out, in k k].
std::vector<int64_t> change_shape(const LoraChange& change);
// A weight's outputs, and all of its other axes together: a 1x1 convolution fits a matrix.
std::pair<int64_t, int64_t> flat_size(at::IntArrayRef shape);
// 0 where there is none: whole factors.
int64_t change_rank(const LoraChange& change);
// "LoRA", "LoHa", "LoKr", "full difference"
const char* change_name(const LoraChange& change);

}  // namespace diffusion
