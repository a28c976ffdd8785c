#pragma once

// Muon for the matrices of a network, AdamW for its biases and norms.

#include "data/train/optimizers.hpp"

namespace train {

struct MuonOptions {
  double momentum = 0.95;  // Nesterov
  double weight_decay = 0.0;
  AdamWOptions adamw;  // for parameters with fewer than two axes
};

// One update with learning rate `lr`, in place. The momentum of each matrix is replaced by the
// nearest semi-orthogonal matrix (Jordan et al., "Muon: an optimizer for hidden layers", 2024) and
// scaled by 0.2 sqrt(max(rows, columns)), so that its norm matches AdamW's and both share one
// learning rate (Liu et al., "Muon is scalable for LLM training", 2025, eq. 4). A convolution
// counts as a matrix [out, in k k]. `state`: from make_adamw; exp_avg holds the matrices' momentum.
void muon_step(const Params& params, AdamWState& state, const MuonOptions& options, double lr);

// Five Newton-Schulz iterations. m: [R, C] -> approximately U V' of its singular value
// decomposition U S V'
at::Tensor orthogonalized(const at::Tensor& m);

}  // namespace train
