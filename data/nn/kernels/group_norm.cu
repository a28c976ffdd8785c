// Group norm (Wu and He 2018) followed by SiLU, and its gradient, of [batch, channels, pixels].
// Forward: computes the moments of every chunk of a group; then each block merges the moments of
// its group and writes its chunk. Backward: sums over every row (a channel of an image) give the
// gradients of x, weight and bias. No atomics, so that results are deterministic.

#include "data/nn/kernels/norm_moments.cuh"

namespace kernels {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kEach = kLaurelChunk / kThreads;  // elements per thread

template <class W>
__device__ W sigmoid(W z) {
  return fast_ratio(W(1), 1 + fast_exp(-z));
}
template <bool kSilu, class W>
__device__ W activated(W z) {
  return kSilu ? z * sigmoid(z) : z;
}
// d activated / d z
template <bool kSilu, class W>
__device__ W slope(W z) {
  if (!kSilu) return 1;
  const W s = sigmoid(z);
  return s * (1 + z * (1 - s));
}

// The part of a tensor that a block of grid (groups, chunks) processes.
struct GroupChunk {
  int64_t first;   // element of the tensor
  int begin, end;  // in the group
};
__device__ inline GroupChunk own_chunk(int group_size) {
  const int begin = static_cast<int>(blockIdx.y * kLaurelChunk);
  const int rest = group_size - begin;
  return {int64_t{blockIdx.x} * group_size, begin,
          begin + (rest < kLaurelChunk ? rest : static_cast<int>(kLaurelChunk))};
}
// Calls f(i, k) for the k-th pack of this thread, which begins at element i of the group.
template <int N, class F>
__device__ void for_own_packs(const GroupChunk& chunk, const F& f) {
  for (int k = 0; k < kEach / N; ++k) {
    const int i =
        chunk.begin + (k * static_cast<int>(kThreads) + static_cast<int>(threadIdx.x)) * N;
    if (i < chunk.end) f(i, k);
  }
}

// Sizes on the device. A group has fewer than 2^31 elements.
struct GroupNormShape {
  int channels, pixels, groups;
  int group_channels, group_size;
};

template <class T, int N>
__global__ void chunk_moments(GroupNormShape shape, const T* x, NormMoments<Wide<T>>* moments) {
  const GroupChunk chunk = own_chunk(shape.group_size);
  Wide<T> values[kEach], sum = 0, squares = 0;
  int count = 0;
  for_own_packs<N>(chunk, [&](int i, int k) {
    const auto pack = load<N>(x + chunk.first + i);
    for (int j = 0; j < N; ++j) sum += values[k * N + j] = static_cast<Wide<T>>(pack.at[j]);
    count += N;
  });
  const Wide<T> mean = count > 0 ? sum / count : 0;
  for_own_packs<N>(chunk, [&](int, int k) {
    for (int j = 0; j < N; ++j) squares += (values[k * N + j] - mean) * (values[k * N + j] - mean);
  });
  const auto all =
      merged_in_block(NormMoments<Wide<T>>{static_cast<Wide<T>>(count), mean, squares});
  if (threadIdx.x == 0) moments[int64_t{blockIdx.x} * gridDim.y + blockIdx.y] = all;
}

template <class W>
__device__ Statistics<W> group_statistics(const NormMoments<W>* moments, double eps) {
  NormMoments<W> own{0, 0, 0};
  for (unsigned chunk = threadIdx.x; chunk < gridDim.y; chunk += kThreads)
    own = merged(own, moments[int64_t{blockIdx.x} * gridDim.y + chunk]);
  return statistics_of(merged_in_block(own), eps);
}

template <class T, int N, bool kSilu>
__global__ void normalise(GroupNormShape shape,
                          double eps,
                          const T* x,
                          const Wide<T>* weight,
                          const Wide<T>* bias,
                          const NormMoments<Wide<T>>* moments,
                          Statistics<Wide<T>>* statistics,
                          T* y) {
  const auto [mean, rstd] = group_statistics(moments, eps);
  if (blockIdx.y == 0 && threadIdx.x == 0) statistics[blockIdx.x] = {mean, rstd};
  const GroupChunk chunk = own_chunk(shape.group_size);
  const int first_channel =
      static_cast<int>(blockIdx.x % static_cast<unsigned>(shape.groups)) * shape.group_channels;
  for_own_packs<N>(chunk, [&, mean = mean, rstd = rstd](int i, int) {
    const int channel = first_channel + i / shape.pixels;
    const Wide<T> scale = rstd * weight[channel], shift = bias[channel];
    auto pack = load<N>(x + chunk.first + i);
    for (int j = 0; j < N; ++j) {
      const Wide<T> z = (static_cast<Wide<T>>(pack.at[j]) - mean) * scale + shift;
      pack.at[j] = static_cast<T>(activated<kSilu>(z));
    }
    store<N>(y + chunk.first + i, pack);
  });
}

// One channel of one image.
template <class W>
struct GroupNormRow {
  W mean, rstd, weight, bias;
};
// The gradient of z = weight xhat + bias, and xhat, from the gradient of the activated z.
template <bool kSilu, class W>
__device__ Sums<W> term(const GroupNormRow<W>& row, W grad_y, W x) {
  const W xhat = (x - row.mean) * row.rstd;
  const W g = grad_y * slope<kSilu>(row.weight * xhat + row.bias);
  return {g, g * xhat};
}

// Grid: (batch channels).
template <class T, int N, bool kSilu>
__global__ void row_sums(GroupNormShape shape,
                         const T* grad_y,
                         const T* x,
                         const Wide<T>* weight,
                         const Wide<T>* bias,
                         const Statistics<Wide<T>>* statistics,
                         Sums<Wide<T>>* sums) {
  const int channel = static_cast<int>(blockIdx.x % static_cast<unsigned>(shape.channels));
  const auto group = statistics[blockIdx.x / static_cast<unsigned>(shape.group_channels)];
  const GroupNormRow<Wide<T>> row{group.mean, group.rstd, weight[channel], bias[channel]};
  const int64_t first = int64_t{blockIdx.x} * shape.pixels;
  Sums<Wide<T>> own{0, 0};
  for (int i = static_cast<int>(threadIdx.x) * N; i < shape.pixels;
       i += static_cast<int>(blockDim.x) * N) {
    const auto grads = load<N>(grad_y + first + i), values = load<N>(x + first + i);
    for (int j = 0; j < N; ++j)
      own = merged(own, term<kSilu>(row, static_cast<Wide<T>>(grads.at[j]),
                                    static_cast<Wide<T>>(values.at[j])));
  }
  const auto all = merged_in_block(own);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

// The means of weight g and weight g xhat over this block's group.
template <class W>
__device__ Sums<W> group_means(const GroupNormShape& shape,
                               int channel,
                               const W* weight,
                               const Sums<W>* sums) {
  Sums<W> own{0, 0};
  const int64_t first_row = int64_t{blockIdx.x} * shape.group_channels;
  for (int i = static_cast<int>(threadIdx.x); i < shape.group_channels; i += kThreads) {
    const Sums<W> row = sums[first_row + i];
    const W w = weight[channel + i];
    own = merged(own, Sums<W>{w * row.g, w * row.g_xhat});
  }
  const Sums<W> all = merged_in_block(own);
  return {all.g / shape.group_size, all.g_xhat / shape.group_size};
}

template <class T, int N, bool kSilu>
__global__ void input_gradient(GroupNormShape shape,
                               const T* grad_y,
                               const T* x,
                               const Wide<T>* weight,
                               const Wide<T>* bias,
                               const Statistics<Wide<T>>* statistics,
                               const Sums<Wide<T>>* sums,
                               T* grad_x) {
  using W = Wide<T>;
  const int first_channel =
      static_cast<int>(blockIdx.x % static_cast<unsigned>(shape.groups)) * shape.group_channels;
  const Sums<W> mean = group_means(shape, first_channel, weight, sums);
  const auto group = statistics[blockIdx.x];
  const GroupChunk chunk = own_chunk(shape.group_size);
  for_own_packs<N>(chunk, [&](int i, int) {
    const int channel = first_channel + i / shape.pixels;
    const GroupNormRow<W> row{group.mean, group.rstd, weight[channel], bias[channel]};
    const auto grads = load<N>(grad_y + chunk.first + i);
    auto pack = load<N>(x + chunk.first + i);
    for (int j = 0; j < N; ++j) {
      const W value = static_cast<W>(pack.at[j]), xhat = (value - row.mean) * row.rstd;
      const W g = row.weight * term<kSilu>(row, static_cast<W>(grads.at[j]), value).g;
      pack.at[j] = static_cast<T>(row.rstd * (g - mean.g - xhat * mean.g_xhat));
    }
    store<N>(grad_x + chunk.first + i, pack);
  });
}

template <class W>
__global__ void affine_gradient(
    GroupNormShape shape, int64_t batch, const Sums<W>* sums, W* grad_weight, W* grad_bias) {
  const int channel = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (channel >= shape.channels) return;
  Sums<W> all{0, 0};
  for (int64_t image = 0; image < batch; ++image)
    all = merged(all, sums[image * shape.channels + channel]);
  grad_weight[channel] = all.g_xhat;
  grad_bias[channel] = all.g;
}

GroupNormShape shape_of(const LaurelGroupNorm& norm) {
  const auto group_channels = static_cast<int>(norm.channels / norm.groups);
  return {static_cast<int>(norm.channels), static_cast<int>(norm.pixels),
          static_cast<int>(norm.groups), group_channels,
          static_cast<int>(group_channels * norm.pixels)};
}
dim3 chunk_grid(const LaurelGroupNorm& norm) {
  return {static_cast<unsigned>(norm.batch * norm.groups),
          static_cast<unsigned>(laurel_chunks(norm))};
}
// Number of threads in a block that sums `packs`, up to four packs per thread.
unsigned row_threads(int64_t packs) {
  const int64_t wanted = (packs / 4 + kWarp - 1) / kWarp * kWarp;
  return static_cast<unsigned>(wanted < kWarp ? kWarp : wanted < 1024 ? wanted : 1024);
}

struct ForwardPointers {
  const void *x, *weight, *bias;
  void *workspace, *statistics, *y;
};
template <class T, int N, bool kSilu>
const char* forward(const LaurelGroupNorm& norm, const ForwardPointers& at, void* stream) {
  using W = Wide<T>;
  const GroupNormShape shape = shape_of(norm);
  const auto* x = static_cast<const T*>(at.x);
  auto* moments = static_cast<NormMoments<W>*>(at.workspace);
  if (const char* problem =
          launch(chunk_moments<T, N>, chunk_grid(norm), kThreads, stream, shape, x, moments))
    return problem;
  return launch(normalise<T, N, kSilu>, chunk_grid(norm), kThreads, stream, shape, norm.eps, x,
                static_cast<const W*>(at.weight), static_cast<const W*>(at.bias), moments,
                static_cast<Statistics<W>*>(at.statistics), static_cast<T*>(at.y));
}

struct BackwardPointers {
  const void *grad_y, *x, *weight, *bias, *statistics;
  void *workspace, *grad_x, *grad_weight, *grad_bias;
};
template <class T, int N, bool kSilu>
const char* backward(const LaurelGroupNorm& norm, const BackwardPointers& at, void* stream) {
  using W = Wide<T>;
  const GroupNormShape shape = shape_of(norm);
  const auto *grad_y = static_cast<const T*>(at.grad_y), *x = static_cast<const T*>(at.x);
  const auto *weight = static_cast<const W*>(at.weight), *bias = static_cast<const W*>(at.bias);
  const auto* statistics = static_cast<const Statistics<W>*>(at.statistics);
  auto* sums = static_cast<Sums<W>*>(at.workspace);
  const dim3 rows{static_cast<unsigned>(norm.batch * norm.channels)};
  if (const char* problem = launch(row_sums<T, N, kSilu>, rows, row_threads(norm.pixels / N),
                                   stream, shape, grad_y, x, weight, bias, statistics, sums))
    return problem;
  if (const char* problem =
          launch(input_gradient<T, N, kSilu>, chunk_grid(norm), kThreads, stream, shape, grad_y, x,
                 weight, bias, statistics, sums, static_cast<T*>(at.grad_x)))
    return problem;
  if (!at.grad_weight) return nullptr;
  const dim3 channels{static_cast<unsigned>((norm.channels + 127) / 128)};
  return launch(affine_gradient<W>, channels, 128, stream, shape, norm.batch, sums,
                static_cast<W*>(at.grad_weight), static_cast<W*>(at.grad_bias));
}

// f.operator()<T, N, kSilu>()
template <class F>
const char* with_variant(LaurelType type,
                         const LaurelGroupNorm& norm,
                         std::initializer_list<const void*> pointers,
                         const F& f) {
  return with_type(type, [&]<class T>() {
    constexpr int kMost = kPack<T>;
    if (fits_packs<T>(norm.pixels, pointers))
      return norm.silu ? f.template operator()<T, kMost, true>()
                       : f.template operator()<T, kMost, false>();
    return norm.silu ? f.template operator()<T, 1, true>() : f.template operator()<T, 1, false>();
  });
}

}  // namespace
}  // namespace kernels

const char* laurel_group_norm(LaurelType type,
                              const LaurelGroupNorm& norm,
                              const void* x,
                              const void* weight,
                              const void* bias,
                              void* workspace,
                              void* statistics,
                              void* y,
                              void* stream) {
  const kernels::ForwardPointers at{x, weight, bias, workspace, statistics, y};
  return kernels::with_variant(type, norm, {x, y}, [&]<class T, int N, bool kSilu>() {
    return kernels::forward<T, N, kSilu>(norm, at, stream);
  });
}

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
                                       void* stream) {
  const kernels::BackwardPointers at{grad_y,    x,      weight,      bias,     statistics,
                                     workspace, grad_x, grad_weight, grad_bias};
  return kernels::with_variant(type, norm, {grad_y, x, grad_x}, [&]<class T, int N, bool kSilu>() {
    return kernels::backward<T, N, kSilu>(norm, at, stream);
  });
}
