#include "data/device/device.hpp"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <limits>

#include "data/device/memory.hpp"

namespace data {
namespace {

constexpr size_t kAll = 0;  // index of the statistics over small and large blocks together

c10::CachingDeviceAllocator::DeviceStats stats_of(at::Device device) {
  return c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
}

}  // namespace

void synchronize(at::Device device) {
  if (!device.is_cpu() && !device.is_meta())
    c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

int64_t peak_bytes(at::Device device, const std::function<void()>& work) {
  if (device.is_cpu()) return peak_tensor_bytes(work);
  if (device.is_meta()) return peak_meta_bytes(work);
  const int64_t before = stats_of(device).allocated_bytes[kAll].current;
  c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
  work();
  return stats_of(device).allocated_bytes[kAll].peak - before;
}

double used_memory(at::Device device) {
  if (device.is_cpu()) return resident_memory();
  return static_cast<double>(stats_of(device).allocated_bytes[kAll].current);
}

double peak_memory(at::Device device) {
  if (device.is_cpu()) return peak_memory();
  return static_cast<double>(stats_of(device).allocated_bytes[kAll].peak);
}

bool reset_peak_memory(at::Device device) {
  if (device.is_cpu()) return reset_peak_memory();
  c10::getDeviceAllocator(device.type())->resetPeakStats(device.index());
  return true;
}

double memory_within_reach(at::Device device) {
  if (device.is_cpu()) return std::numeric_limits<double>::infinity();
  const auto [free, total] = c10::getDeviceAllocator(device.type())->getMemoryInfo(device.index());
  return static_cast<double>(free) +
         static_cast<double>(stats_of(device).reserved_bytes[kAll].current);
}

}  // namespace data
