#pragma once

// LoRAs made from other LoRAs, and from the difference of two checkpoints.

#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"

namespace diffusion {

// Limits of a change's rank: a number, the fewest singular values that hold this share of the sum
// of squares, or the smaller of both. 0: no such limit.
struct Reduction {
  int64_t rank = 0;
  double energy = 0;  // 0 .. 1
};

// The nearest change of such a rank (Eckart and Young 1936: the leading singular values). dense:
// [out, in] or [out, in, k, k], not zero. Both factors get the square roots of the singular values.
struct Approximation {
  LowRank pair;      // fp32
  double kept, all;  // sums of squares of the singular values
};
Approximation approximate(const at::Tensor& dense, const Reduction& reduction);

struct LoraResult {
  LoraWeights lora;
  double kept = 1.0;      // share of the squares of all singular values
  int64_t unchanged = 0;  // extraction: layers that are equal in both, and left out
};

// The weighted sum of LoRAs as one. Without a reduction it is exact: low-rank changes stand side by
// side, their ranks add up. Layers of other forms, and with a reduction all, become the nearest
// changes of that rank. The original code's names become diffusers', counted with
// `layers_per_block`. Throws BadInput for a LoHa or LoKr without a reduction, and where two change
// one layer by different shapes.
LoraResult combine_loras(const std::vector<LoraUse>& uses,
                         const Reduction& reduction,
                         int64_t layers_per_block);

// The LoRA that approximates the difference of two checkpoints. Throws BadInput when their layers
// differ in name or shape, or nothing differs.
LoraResult extract_lora(const LoraTarget& base,
                        const LoraTarget& tuned,
                        const Reduction& reduction);

}  // namespace diffusion
