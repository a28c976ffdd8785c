#pragma once

// Muon for the matrices of a network, AdamW for the rest (biases, norms).

#include "data/train/optimizers.hpp"

namespace train {

struct MuonOptions {
  double momentum = 0.95;  // Nesterov
  double weight_decay = 0.0;
  AdamWOptions adamw;  // of the parameters of fewer than two axes
};

// One update with learning rate `lr`, in place: the momentum of each matrix is replaced by the
// nearest semi-orthogonal one (Jordan et al., "Muon: an optimizer for hidden layers", 2024) and
// scaled by 0.2 sqrt(max(rows, columns)), so that its size is AdamW's and both share one learning
// rate (Liu et al., "Muon is scalable for LLM training", 2025, eq. 4). Convolutions count as [out,
// in k k]. `state`: make_adamw; exp_avg holds the momentum of the matrices.
void muon_step(const Params& params, AdamWState& state, const MuonOptions& options, double lr);

// The five Newton-Schulz iterations: m: [R, C] -> about U V' of its singular value decomposition U
// S V'.
at::Tensor orthogonalized(const at::Tensor& m);

}  // namespace train
