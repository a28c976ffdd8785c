#pragma once

// NCCL, where it was built: the library finetune/nccl lies beside the program then.

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace finetune {

// Makes the group of `count` ranks that meets in `store`; the caller owns it.
using OpenNccl = c10d::Backend* (*)(c10d::Store* store, int rank, int count);
// Null where the library is not there. To be called when libtorch_cuda is loaded.
OpenNccl find_nccl();

}  // namespace finetune
