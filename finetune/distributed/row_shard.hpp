#pragma once

// How the rows of a batch, trajectories or images, are shared among the ranks, and put together.

#include "data/train/optimizers.hpp"
#include "finetune/distributed/process_group.hpp"

namespace finetune {

// The rows of this rank among `total`.
struct RowShard {
  ProcessGroup ranks;
  std::vector<int64_t> rows;  // ascending
  int64_t total = 0;
};
// Of a run of one process: all.
RowShard whole(int64_t total);
// A stretch for each rank, as even as can be: where the stretches are whole micro-batches, the
// micro-batches are those of a single process.
RowShard contiguous_shard(const ProcessGroup& ranks, int64_t total);
// Every count-th row: however few neighbouring rows are in use, all ranks have some of them.
RowShard strided_shard(const ProcessGroup& ranks, int64_t total);

// own: [rows, ...] of this rank; undefined where it has none. -> [total, ...] of all ranks, the
// same bits everywhere, on the device of `own` (the CPU where undefined)
at::Tensor all_gather_rows(const RowShard& share, const at::Tensor& own);

// Sums the parameters' gradients over the ranks, in buckets of 25 MB that follow each other; a rank
// without a gradient adds zero.
void all_reduce_gradients(const ProcessGroup& ranks, const train::Params& params);

}  // namespace finetune
