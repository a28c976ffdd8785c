#pragma once

// AdamW's moments shared out among the ranks: Rajbhandari, Rasley, Ruwase, He, "ZeRO: Memory
// Optimizations Toward Training Trillion Parameter Models" (2020), stage 1. Each parameter has one
// rank that keeps its moments, takes its step, and sends the result to the others.

#include "data/train/train_state.hpp"
#include "finetune/distributed/process_group.hpp"

namespace finetune {

struct MomentOwners {
  ProcessGroup ranks{};
  std::vector<int64_t> owner{};  // a rank for each parameter; empty: every rank keeps all moments
};

// Neighbouring parameters to each rank, about the same number of values.
MomentOwners partition_moments(const ProcessGroup& ranks, const train::Params& params);

// Empties the moments of parameters that are another's.
void drop_unowned_moments(const MomentOwners& owners, train::AdamWState& state);
// Makes room for all moments, for a file to be read into.
void allocate_all_moments(const MomentOwners& owners,
                          const train::Params& params,
                          train::AdamWState& state);
// All moments at rank 0, to be written; the other ranks keep theirs alone.
void gather_moments(const MomentOwners& owners,
                    const train::Params& params,
                    train::AdamWState& state);

// AdamW of this rank's parameters, whose gradients are whole, then everybody's new values.
void sharded_step(const MomentOwners& owners,
                  const train::Params& params,
                  train::AdamWState& state,
                  const train::AdamWOptions& options,
                  double lr);

}  // namespace finetune
