#pragma once

// The C interface of the CUDA kernels: liblaurel_kernels.so beside the program; in the tests, the
// same sources compiled for the CPU. Pointers are device pointers, tensors are contiguous; `stream`
// is a cudaStream_t. Each function returns null when it launched its kernels, else the reason why
// it did not. Sums, weights, biases and statistics are fp32, or fp64 for tensors of doubles ("wide"
// below).

#include <cstdint>

#pragma GCC visibility push(default)
extern "C" {

enum LaurelType : int32_t { kLaurelFloat, kLaurelHalf, kLaurelBFloat16, kLaurelDouble };

// Null when this machine's GPU can run the kernels, else the reason.
const char* laurel_kernels_problem();

// Group norm (Wu and He 2018, eq. 1 and 7) of x: [batch, channels, pixels], optionally followed by
// SiLU.
struct LaurelGroupNorm {
  int64_t batch, channels, pixels, groups;
  double eps;
  bool silu;
};
// Elements of a group that one block processes; `workspace` stores the moments of each such chunk.
constexpr int64_t kLaurelChunk = 8192;
inline int64_t laurel_chunks(const LaurelGroupNorm& norm) {
  return (norm.channels / norm.groups * norm.pixels + kLaurelChunk - 1) / kLaurelChunk;
}
// weight, bias: [channels] wide; workspace: [batch groups, laurel_chunks, 3] wide; statistics:
// [batch groups, 2] wide, mean and 1 / deviation; y: as x.
const char* laurel_group_norm(LaurelType type,
                              const LaurelGroupNorm& norm,
                              const void* x,
                              const void* weight,
                              const void* bias,
                              void* workspace,
                              void* statistics,
                              void* y,
                              void* stream);
// workspace: [batch channels, 2] wide; grad_x: as x; grad_weight, grad_bias: [channels] wide, or
// both null.
const char* laurel_group_norm_backward(LaurelType type,
                                       const LaurelGroupNorm& norm,
                                       const void* grad_y,
                                       const void* x,
                                       const void* weight,
                                       const void* bias,
                                       const void* statistics,
                                       void* workspace,
                                       void* grad_x,
                                       void* grad_weight,
                                       void* grad_bias,
                                       void* stream);

// Layer norm (Ba, Kiros and Hinton 2016, eq. 3) of x: [rows, width], width < 2^31. weight, bias:
// [width] wide; statistics: [rows, 2] wide, mean and 1 / deviation; y: as x.
const char* laurel_layer_norm(LaurelType type,
                              int64_t rows,
                              int64_t width,
                              double eps,
                              const void* x,
                              const void* weight,
                              const void* bias,
                              void* statistics,
                              void* y,
                              void* stream);
// Number of slabs of rows in the sums for the gradients of weight and bias.
constexpr int64_t kLaurelSlabs = 64;
// grad_x: as x; workspace: [kLaurelSlabs, width, 2], grad_weight, grad_bias: [width], all wide, or
// all null.
const char* laurel_layer_norm_backward(LaurelType type,
                                       int64_t rows,
                                       int64_t width,
                                       const void* grad_y,
                                       const void* x,
                                       const void* weight,
                                       const void* statistics,
                                       void* grad_x,
                                       void* workspace,
                                       void* grad_weight,
                                       void* grad_bias,
                                       void* stream);

// GEGLU (Shazeer 2020, eq. 6): value * gelu(gate), with the exact GELU. both: [rows, 2 width], the
// values first; y: [rows, width]
const char* laurel_geglu(
    LaurelType type, int64_t rows, int64_t width, const void* both, void* y, void* stream);
// grad_y: as y; grad_both: as both
const char* laurel_geglu_backward(LaurelType type,
                                  int64_t rows,
                                  int64_t width,
                                  const void* grad_y,
                                  const void* both,
                                  void* grad_both,
                                  void* stream);

}  // extern "C"
#pragma GCC visibility pop
