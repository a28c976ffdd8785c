// Sums among GPUs by NCCL: a library of its own (liblaurel_nccl.so), because it needs
// libtorch_cuda, which laurel loads only when a GPU is used. ranks.cpp opens it.

#define USE_C10D_NCCL
#include <chrono>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

// The group of `count` ranks that meets in `store`; the caller owns it. Collectives never time out:
// the ranks watch each other.
extern "C" __attribute__((visibility("default"))) c10d::Backend* laurel_open_nccl(
    c10d::Store* store, int rank, int count) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::hours(24 * 7);
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(
             c10::intrusive_ptr<c10d::Store>::reclaim_copy(store), rank, count, options)
      .release();
}
