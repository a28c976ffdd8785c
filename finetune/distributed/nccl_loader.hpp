#pragma once

// NCCL, where it was built: the library finetune/nccl lies beside the program then.

#include <string>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace finetune {

// Makes the group of `count` ranks that meets in `store`; the caller owns it.
using OpenNccl = c10d::Backend* (*)(c10d::Store* store, int rank, int count);
// Null where the library is not there. To be called when libtorch_cuda is loaded.
OpenNccl find_nccl();
// Why it is not, and what follows from it, in a line; "": it is.
std::string nccl_problem();

}  // namespace finetune
