#include "finetune/measure.hpp"

#include <chrono>

#include "data/flops.hpp"
#include "data/memory.hpp"

namespace finetune {

Work measured(const std::function<void()>& run) {
  Work work;
  const auto start = std::chrono::steady_clock::now();
  work.bytes = static_cast<double>(
      data::peak_tensor_bytes([&] { work.flop = static_cast<double>(data::count_flops(run)); }));
  work.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return work;
}

}  // namespace finetune
