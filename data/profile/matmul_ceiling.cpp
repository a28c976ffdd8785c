#include "data/profile/matmul_ceiling.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>

#include "data/device/device.hpp"

namespace data {

double wall_seconds(at::Device device, const std::function<void()>& work) {
  synchronize(device);
  const auto start = std::chrono::steady_clock::now();
  work();
  synchronize(device);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double matmul_ceiling(at::Device device, at::ScalarType type, int64_t repeats) {
  TORCH_CHECK(repeats >= 1, "matmul_ceiling: expected at least one run, got ", repeats);
  double best = 0;
  for (const int64_t size : {512, 1024, 2048}) {
    const int64_t n = device.is_cpu() ? size : 4 * size;
    // Random numbers: a GPU multiplies constant matrices faster, because fewer bits change.
    const at::Tensor a = at::randn({n, n}, at::TensorOptions(device).dtype(type));
    at::Tensor c = at::empty_like(a);
    at::mm_out(c, a, a);
    for (int64_t k = 0; k < repeats; ++k) {
      const double seconds = wall_seconds(device, [&] { at::mm_out(c, a, a); });
      best = std::max(best, 2.0 * static_cast<double>(n * n * n) / seconds);
    }
  }
  return best;
}

}  // namespace data
