#pragma once

// Synchronisation and memory of a device, by the same functions for the CPU and for GPUs. GPU
// memory comes from libtorch's allocator interface, which is available without libtorch_cuda.

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>

namespace data {

// Returns when the device has finished its work; at once on the CPU. Call it before reading a
// clock.
void synchronize(at::Device device);

// Peak memory of the tensors that `work` makes on the device, in bytes, above what is allocated
// before it (CPU: peak_tensor_bytes; meta: peak_meta_bytes).
int64_t peak_bytes(at::Device device, const std::function<void()>& work);

// Memory of the device that this process uses, in bytes. CPU: resident memory; GPU: its tensors.
double used_memory(at::Device device);
// The peak since reset_peak_memory(device), which returns false where it is not supported.
double peak_memory(at::Device device);
bool reset_peak_memory(at::Device device);

// Memory that this process can use on the device in all, in bytes. GPU: what the driver reports as
// free and what libtorch has reserved; CPU: infinite, because it can swap.
double memory_within_reach(at::Device device);

}  // namespace data
