// Layer norm (Ba, Kiros and Hinton 2016, eq. 3) of [rows, width], and its gradient. A warp
// processes a row: it reads the row for the moments and again, from the cache, for the result.

#include "data/nn/kernels/norm_moments.cuh"

namespace kernels {
namespace {

constexpr unsigned kWarps = 8;     // per block
constexpr unsigned kColumns = 32;  // per block that sums over rows
static_assert(kLaurelSlabs <= 65535);

struct LayerNormShape {
  int64_t rows;
  int width;
};

// The row of this warp; the grid can have more warps than there are rows.
__device__ inline int64_t own_row() { return int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp; }

// Calls f(i) for each pack of this lane, which begins at element i of the row.
template <int N, class F>
__device__ void for_own_packs(int width, const F& f) {
  for (int i = static_cast<int>(threadIdx.x % kWarp) * N; i < width;
       i += static_cast<int>(kWarp) * N)
    f(i);
}

template <class T, int N>
__device__ NormMoments<Wide<T>> moments_of(const Pack<T, N>& pack) {
  Wide<T> sum = 0, squares = 0;
  for (int j = 0; j < N; ++j) sum += static_cast<Wide<T>>(pack.at[j]);
  const Wide<T> mean = sum / N;
  for (int j = 0; j < N; ++j) {
    const Wide<T> apart = static_cast<Wide<T>>(pack.at[j]) - mean;
    squares += apart * apart;
  }
  return {N, mean, squares};
}

template <class T, int N>
__global__ void normalise_rows(LayerNormShape shape,
                               double eps,
                               const T* x,
                               const Wide<T>* weight,
                               const Wide<T>* bias,
                               Statistics<Wide<T>>* statistics,
                               T* y) {
  using W = Wide<T>;
  const int64_t row = own_row(), first = row * shape.width;
  if (row >= shape.rows) return;
  NormMoments<W> own{0, 0, 0};
  for_own_packs<N>(shape.width,
                   [&](int i) { own = merged(own, moments_of(load<N>(x + first + i))); });
  const Statistics<W> all = statistics_of(merged_in_warp(own), eps);
  if (threadIdx.x % kWarp == 0) statistics[row] = all;
  for_own_packs<N>(shape.width, [&](int i) {
    auto pack = load<N>(x + first + i);
    for (int j = 0; j < N; ++j) {
      const W xhat = (static_cast<W>(pack.at[j]) - all.mean) * all.rstd;
      pack.at[j] = static_cast<T>(xhat * weight[i + j] + bias[i + j]);
    }
    store<N>(y + first + i, pack);
  });
}

template <class T, int N>
__global__ void row_gradient(LayerNormShape shape,
                             const T* grad_y,
                             const T* x,
                             const Wide<T>* weight,
                             const Statistics<Wide<T>>* statistics,
                             T* grad_x) {
  using W = Wide<T>;
  const int64_t row = own_row(), first = row * shape.width;
  if (row >= shape.rows) return;
  const Statistics<W> at = statistics[row];
  // f(j, weight g, xhat) of a pack
  const auto terms = [&](int i, const Pack<T, N>& grads, const Pack<T, N>& values, const auto& f) {
    for (int j = 0; j < N; ++j)
      f(j, weight[i + j] * static_cast<W>(grads.at[j]),
        (static_cast<W>(values.at[j]) - at.mean) * at.rstd);
  };
  Sums<W> own{0, 0};
  for_own_packs<N>(shape.width, [&](int i) {
    terms(i, load<N>(grad_y + first + i), load<N>(x + first + i), [&](int, W g, W xhat) {
      own = merged(own, Sums<W>{g, g * xhat});
    });
  });
  const Sums<W> all = merged_in_warp(own);
  const W mean_g = all.g / shape.width, mean_g_xhat = all.g_xhat / shape.width;
  for_own_packs<N>(shape.width, [&](int i) {
    Pack<T, N> result;
    terms(i, load<N>(grad_y + first + i), load<N>(x + first + i), [&](int j, W g, W xhat) {
      result.at[j] = static_cast<T>(at.rstd * (g - mean_g - xhat * mean_g_xhat));
    });
    store<N>(grad_x + first + i, result);
  });
}

// Grid: (blocks of columns, slabs of rows). A lane sums a column, a warp every kWarps-th row.
template <class T>
__global__ void slab_sums(LayerNormShape shape,
                          const T* grad_y,
                          const T* x,
                          const Statistics<Wide<T>>* statistics,
                          Sums<Wide<T>>* slabs) {
  using W = Wide<T>;
  LAUREL_SHARED(Sums<W>, of_warps, kWarps * kColumns);
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int column = static_cast<int>(blockIdx.x * kColumns) + lane;
  Sums<W> own{0, 0};
  if (column < shape.width) {
    for (int64_t row = int64_t{blockIdx.y} * kWarps + threadIdx.x / kWarp; row < shape.rows;
         row += int64_t{gridDim.y} * kWarps) {
      const Statistics<W> at = statistics[row];
      const W g = static_cast<W>(grad_y[row * shape.width + column]);
      const W value = static_cast<W>(x[row * shape.width + column]);
      own = merged(own, Sums<W>{g, g * (value - at.mean) * at.rstd});
    }
  }
  of_warps[threadIdx.x] = own;
  __syncthreads();
  if (threadIdx.x >= kColumns || column >= shape.width) return;
  for (unsigned warp = 1; warp < kWarps; ++warp) {
    const Sums<W> next = of_warps[warp * kColumns + threadIdx.x];
    own = merged(own, next);
  }
  slabs[int64_t{blockIdx.y} * shape.width + column] = own;
}

template <class W>
__global__ void sum_of_slabs(
    int width, int count, const Sums<W>* slabs, W* grad_weight, W* grad_bias) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= width) return;
  Sums<W> all{0, 0};
  for (int64_t slab = 0; slab < count; ++slab) all = merged(all, slabs[slab * width + column]);
  grad_weight[column] = all.g_xhat;
  grad_bias[column] = all.g;
}

unsigned blocks(int64_t count, int64_t each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

struct Affine {
  void *slabs, *grad_weight, *grad_bias;
};
template <class T>
const char* affine_gradient(const LayerNormShape& shape,
                            const T* grad_y,
                            const T* x,
                            const Statistics<Wide<T>>* statistics,
                            const Affine& at,
                            void* stream) {
  using W = Wide<T>;
  auto* slabs = static_cast<Sums<W>*>(at.slabs);
  const dim3 grid{blocks(shape.width, kColumns), static_cast<unsigned>(kLaurelSlabs)};
  if (const char* problem =
          launch(slab_sums<T>, grid, kWarps * kWarp, stream, shape, grad_y, x, statistics, slabs))
    return problem;
  return launch(sum_of_slabs<W>, dim3{blocks(shape.width, 128)}, 128, stream, shape.width,
                static_cast<int>(kLaurelSlabs), slabs, static_cast<W*>(at.grad_weight),
                static_cast<W*>(at.grad_bias));
}

// f.operator()<T, N>()
template <class F>
const char* with_variant(LaurelType type,
                         int64_t width,
                         std::initializer_list<const void*> pointers,
                         const F& f) {
  return with_type(type, [&]<class T>() {
    return fits_packs<T>(width, pointers) ? f.template operator()<T, kPack<T>>()
                                          : f.template operator()<T, 1>();
  });
}

}  // namespace
}  // namespace kernels

const char* laurel_layer_norm(LaurelType type,
                              int64_t rows,
                              int64_t width,
                              double eps,
                              const void* x,
                              const void* weight,
                              const void* bias,
                              void* statistics,
                              void* y,
                              void* stream) {
  using namespace kernels;
  const LayerNormShape shape{rows, static_cast<int>(width)};
  return with_variant(type, width, {x, y}, [&]<class T, int N>() {
    using W = Wide<T>;
    return launch(normalise_rows<T, N>, dim3{blocks(rows, kWarps)}, kWarps * kWarp, stream, shape,
                  eps, static_cast<const T*>(x), static_cast<const W*>(weight),
                  static_cast<const W*>(bias), static_cast<Statistics<W>*>(statistics),
                  static_cast<T*>(y));
  });
}

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
                                       void* stream) {
  using namespace kernels;
  const LayerNormShape shape{rows, static_cast<int>(width)};
  return with_variant(type, width, {grad_y, x, grad_x}, [&]<class T, int N>() -> const char* {
    using W = Wide<T>;
    const auto *gradients = static_cast<const T*>(grad_y), *values = static_cast<const T*>(x);
    const auto* moments = static_cast<const Statistics<W>*>(statistics);
    if (const char* problem = launch(
            row_gradient<T, N>, dim3{blocks(rows, kWarps)}, kWarps * kWarp, stream, shape,
            gradients, values, static_cast<const W*>(weight), moments, static_cast<T*>(grad_x)))
      return problem;
    if (!grad_weight) return nullptr;
    return affine_gradient<T>(shape, gradients, values, moments,
                              {workspace, grad_weight, grad_bias}, stream);
  });
}
