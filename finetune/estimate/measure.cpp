#include "finetune/estimate/measure.hpp"

#include <chrono>

#include "data/device/device.hpp"
#include "data/profile/flops.hpp"

namespace finetune {

Work measured(at::Device device, const std::function<void()>& run) {
  Work work;
  data::synchronize(device);
  const auto start = std::chrono::steady_clock::now();
  work.bytes = static_cast<double>(
      data::peak_bytes(device, [&] { work.flop = static_cast<double>(data::count_flops(run)); }));
  data::synchronize(device);
  work.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return work;
}

}  // namespace finetune
