#pragma once

// Common parts of the kernels. nvcc compiles them for GPUs, g++ for the tests, which run the same
// sources on the CPU (launch_on_cpu.hpp).

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "data/nn/kernels/abi.hpp"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define LAUREL_SHARED(type, name, size) __shared__ type name[size]

namespace kernels {

// The value of lane `lane` (modulo 32); all lanes of the warp must call it together.
template <class V>
__device__ V from_lane(const V& own, unsigned lane) {
  static_assert(sizeof(V) % 4 == 0);
  unsigned words[sizeof(V) / 4];
  memcpy(words, &own, sizeof(V));
  for (unsigned& word : words) word = __shfl_sync(0xffffffffu, word, static_cast<int>(lane));
  V other;
  memcpy(&other, words, sizeof(V));
  return other;
}

template <class... P, class... A>
const char* launch(
    void (*kernel)(P...), dim3 grid, unsigned threads, void* stream, const A&... arguments) {
  kernel<<<grid, threads, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  const cudaError_t status = cudaGetLastError();
  return status == cudaSuccess ? nullptr : cudaGetErrorString(status);
}

// Null when this machine's GPU can run the kernel, else the reason. All kernels are built for the
// same GPUs.
inline const char* unusable(void (*kernel)()) {
  cudaFuncAttributes attributes;
  if (cudaFuncGetAttributes(&attributes, kernel) == cudaSuccess) return nullptr;
  return cudaGetErrorString(cudaGetLastError());
}

__device__ inline float fast_exp(float x) { return __expf(x); }
__device__ inline float fast_ratio(float a, float b) { return __fdividef(a, b); }

}  // namespace kernels
#else
#include "data/nn/kernels/launch_on_cpu.hpp"
#endif

namespace kernels {

__device__ inline double fast_exp(double x) { return std::exp(x); }
__device__ inline double fast_ratio(double a, double b) { return a / b; }

// The type of sums over elements of type T.
template <class T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

// N adjacent elements, read and written by one instruction.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
template <int N, class T>
__device__ Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T>
__device__ void store(T* to, const Pack<T, N>& values) {
  *reinterpret_cast<Pack<T, N>*>(to) = values;
}
// One instruction moves up to 16 bytes.
template <class T>
constexpr int kPack = 16 / sizeof(T);

template <class T>
bool fits_packs(int64_t length, std::initializer_list<const void*> pointers) {
  bool fits = length % kPack<T> == 0;
  for (const void* pointer : pointers) fits &= reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
  return fits;
}

// f.operator()<T>() for the type that `type` names.
template <class F>
const char* with_type(LaurelType type, const F& f) {
  switch (type) {
    case kLaurelFloat:
      return f.template operator()<float>();
    case kLaurelHalf:
      return f.template operator()<__half>();
    case kLaurelBFloat16:
      return f.template operator()<__nv_bfloat16>();
    case kLaurelDouble:
      return f.template operator()<double>();
  }
  return "unknown element type";
}

constexpr unsigned kWarp = 32;

// merged() of the values of all lanes of the warp, in a fixed order; every lane gets the result.
// `merged` is found by argument-dependent lookup on V.
template <class V>
__device__ V merged_in_warp(V own) {
  for (unsigned distance = kWarp / 2; distance > 0; distance /= 2)
    own = merged(own, from_lane(own, threadIdx.x + distance));
  return from_lane(own, 0);  // other lanes merged in another, wrapped order
}

// The same of all threads of the block.
template <class V>
__device__ V merged_in_block(V own) {
  LAUREL_SHARED(V, of_warps, 32);
  own = merged_in_warp(own);
  if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = own;
  __syncthreads();
  V all = of_warps[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarp; ++warp) {
    const V next = of_warps[warp];
    all = merged(all, next);
  }
  __syncthreads();  // before the next call writes to it
  return all;
}

}  // namespace kernels
