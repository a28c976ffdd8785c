// The simulation of CUDA on the CPU reports the faults that it promises to report.

#include <gtest/gtest.h>

#include <numeric>

#include "data/nn/kernels/launch.cuh"
#include "tests/support/kernels_on_cpu.hpp"

namespace {

using tests::Turns;

std::string fault(const char* problem) { return problem ? problem : ""; }

struct Total {
  int64_t value;
};
Total merged(const Total& a, const Total& b) { return {a.value + b.value}; }

// Twice, so that the second call finds the shared memory of the first.
__global__ void total_of_block(const int64_t* x, int64_t* out) {
  const auto i = int64_t{blockIdx.y} * gridDim.x + blockIdx.x;
  const Total all = kernels::merged_in_block(Total{x[i * blockDim.x + threadIdx.x]});
  out[i * blockDim.x + threadIdx.x] = kernels::merged_in_block(Total{all.value + 1}).value;
}

TEST(KernelShim, EveryThreadOfABlockLearnsItsSum) {
  std::vector<int64_t> x(2 * 3 * 96), out(x.size());
  std::iota(x.begin(), x.end(), 1);
  for (const uint64_t seed : {0, 1, 2}) {
    const Turns turns(seed);
    EXPECT_EQ(fault(kernels::launch(total_of_block, dim3{2, 3}, 96, nullptr, x.data(), out.data())),
              "");
    for (size_t i = 0; i < out.size(); ++i) {
      const auto first = static_cast<int64_t>(i / 96 * 96 + 1);
      EXPECT_EQ(out[i], 96 * (96 * first + 95 * 96 / 2 + 1));
    }
  }
}

template <bool kBarrier>
__global__ void neighbour(int* out) {
  LAUREL_SHARED(int, values, 64);
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = values[(threadIdx.x + 1) % 64];
}
TEST(KernelShim, AReadOfAnothersValueNeedsABarrier) {
  std::vector<int> out(64);
  EXPECT_EQ(fault(kernels::launch(neighbour<true>, dim3{1}, 64, nullptr, out.data())), "");
  EXPECT_EQ(out[63], 0);
  for (const uint64_t seed : {0, 1, 2}) {
    const Turns turns(seed);
    const auto found = fault(kernels::launch(neighbour<false>, dim3{1}, 64, nullptr, out.data()));
    EXPECT_TRUE(found.starts_with("race in shared memory") ||
                found.starts_with("shared memory is read before it is written"))
        << found;
  }
}

__global__ void overwrite_what_is_read(int* out) {
  LAUREL_SHARED(int, value, 1);
  if (threadIdx.x == 0) value[0] = 1;
  __syncthreads();
  out[threadIdx.x] = value[0];
  if (threadIdx.x == 5) value[0] = 2;
}
TEST(KernelShim, AWriteAfterOthersReadNeedsABarrier) {
  std::vector<int> out(32);
  EXPECT_TRUE(fault(kernels::launch(overwrite_what_is_read, dim3{1}, 32, nullptr, out.data()))
                  .starts_with("race in shared memory: a write"));
}

__global__ void half_the_block_waits() {
  if (threadIdx.x < 32) __syncthreads();
}
__global__ void at_two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
__global__ void half_a_warp_exchanges(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = kernels::from_lane(1, 1);
}
TEST(KernelShim, ABarrierThatNotAllReachIsAFault) {
  std::vector<int> out(32);
  for (const std::string& found :
       {fault(kernels::launch(half_the_block_waits, dim3{1}, 64, nullptr)),
        fault(kernels::launch(at_two_barriers, dim3{1}, 64, nullptr)),
        fault(kernels::launch(half_a_warp_exchanges, dim3{1}, 32, nullptr, out.data()))})
    EXPECT_TRUE(found.starts_with("threads of a block wait at different barriers")) << found;
}

__global__ void one_too_far() {
  LAUREL_SHARED(int, values, 31);
  values[threadIdx.x] = 0;
}
__global__ void only_the_first_block_writes(int* out) {
  LAUREL_SHARED(int, value, 1);
  if (blockIdx.x == 0 && threadIdx.x == 0) value[0] = 1;
  __syncthreads();
  out[threadIdx.x] = value[0];
}
TEST(KernelShim, SharedMemoryHasItsSizeAndNothingOfOtherBlocks) {
  std::vector<int> out(32);
  EXPECT_EQ(fault(kernels::launch(one_too_far, dim3{1}, 32, nullptr)),
            "an access out of the bounds of an array in shared memory (thread 31 of block 0, 0)");
  EXPECT_TRUE(fault(kernels::launch(only_the_first_block_writes, dim3{2}, 32, nullptr, out.data()))
                  .starts_with("shared memory is read before it is written"));
}

__global__ void last_one_stays(int* out) { out[0] = static_cast<int>(threadIdx.x); }
TEST(KernelShim, ARaceInGlobalMemoryShowsInAnotherOrder) {
  int by_number = -1, shuffled = -1;
  kernels::launch(last_one_stays, dim3{1}, 64, nullptr, &by_number);
  const Turns turns(1);
  kernels::launch(last_one_stays, dim3{1}, 64, nullptr, &shuffled);
  EXPECT_NE(by_number, shuffled);
}

TEST(KernelShim, WhatNoGpuLaunchesIsRefused) {
  int out = 0;
  for (const auto& [grid, threads] : {std::pair{dim3{1}, 2048U}, std::pair{dim3{1}, 33U},
                                      std::pair{dim3{1, 65536}, 32U}, std::pair{dim3{0}, 32U}})
    EXPECT_EQ(fault(kernels::launch(last_one_stays, grid, threads, nullptr, &out)),
              "invalid grid or block");
}

}  // namespace
