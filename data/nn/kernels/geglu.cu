// GEGLU (Shazeer 2020, eq. 6) of [rows, 2 width], and its gradient: one pass over memory each.

#include "data/nn/kernels/launch.cuh"

namespace kernels {
namespace {

constexpr unsigned kThreads = 256;

// P(z <= x) of a standard normal z: gelu(x) = x cdf(x) (Hendrycks and Gimpel 2016, eq. 1).
template <class W>
__device__ W cdf(W x) {
  return W(0.5) * (1 + std::erf(x * W(0.70710678118654752440)));
}
template <class W>
__device__ W density(W x) {
  return W(0.39894228040143267794) * fast_exp(W(-0.5) * x * x);
}

// Grid: (rows, blocks of columns). The first element of this thread's pack, or -1.
template <int N>
__device__ int64_t own_column(int64_t width) {
  const int64_t column = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * N;
  return column < width ? column : -1;
}

template <class T, int N>
__global__ void gate(int64_t width, const T* both, T* y) {
  using W = Wide<T>;
  const int64_t column = own_column<N>(width), row = blockIdx.x;
  if (column < 0) return;
  auto values = load<N>(both + row * 2 * width + column);
  const auto gates = load<N>(both + (row * 2 + 1) * width + column);
  for (int j = 0; j < N; ++j) {
    const W g = static_cast<W>(gates.at[j]);
    values.at[j] = static_cast<T>(static_cast<W>(values.at[j]) * (g * cdf(g)));
  }
  store<N>(y + row * width + column, values);
}

template <class T, int N>
__global__ void gate_gradient(int64_t width, const T* grad_y, const T* both, T* grad_both) {
  using W = Wide<T>;
  const int64_t column = own_column<N>(width), row = blockIdx.x;
  if (column < 0) return;
  const int64_t value_at = row * 2 * width + column, gate_at = value_at + width;
  const auto grads = load<N>(grad_y + row * width + column);
  auto values = load<N>(both + value_at), gates = load<N>(both + gate_at);
  for (int j = 0; j < N; ++j) {
    const W d = static_cast<W>(grads.at[j]), v = static_cast<W>(values.at[j]),
            g = static_cast<W>(gates.at[j]), c = cdf(g);
    values.at[j] = static_cast<T>(d * (g * c));
    gates.at[j] = static_cast<T>(d * v * (c + g * density(g)));
  }
  store<N>(grad_both + value_at, values);
  store<N>(grad_both + gate_at, gates);
}

// f.operator()<T, N>(grid, threads)
template <class F>
const char* over_rows(LaurelType type,
                      int64_t rows,
                      int64_t width,
                      std::initializer_list<const void*> pointers,
                      const F& f) {
  return with_type(type, [&]<class T>() {
    const bool packs = fits_packs<T>(width, pointers);
    const int64_t columns = packs ? width / kPack<T> : width;
    const int64_t rounded = (columns + kWarp - 1) / kWarp * kWarp;
    const auto threads = static_cast<unsigned>(rounded < kThreads ? rounded : kThreads);
    const dim3 grid{static_cast<unsigned>(rows),
                    static_cast<unsigned>((columns + threads - 1) / threads)};
    return packs ? f.template operator()<T, kPack<T>>(grid, threads)
                 : f.template operator()<T, 1>(grid, threads);
  });
}

}  // namespace
}  // namespace kernels

const char* laurel_geglu(
    LaurelType type, int64_t rows, int64_t width, const void* both, void* y, void* stream) {
  using namespace kernels;
  return over_rows(type, rows, width, {both, y}, [&]<class T, int N>(dim3 grid, unsigned threads) {
    return launch(gate<T, N>, grid, threads, stream, width, static_cast<const T*>(both),
                  static_cast<T*>(y));
  });
}

const char* laurel_geglu_backward(LaurelType type,
                                  int64_t rows,
                                  int64_t width,
                                  const void* grad_y,
                                  const void* both,
                                  void* grad_both,
                                  void* stream) {
  using namespace kernels;
  return over_rows(type, rows, width, {grad_y, both, grad_both},
                   [&]<class T, int N>(dim3 grid, unsigned threads) {
                     return launch(gate_gradient<T, N>, grid, threads, stream, width,
                                   static_cast<const T*>(grad_y), static_cast<const T*>(both),
                                   static_cast<T*>(grad_both));
                   });
}
