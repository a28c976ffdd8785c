#pragma once

// Waiting for a device, and its memory, in the same words for the CPU and for GPUs. Of the latter
// libtorch's allocator is asked, which the CPU's part of libtorch knows by its interface; none of
// it was measured on a GPU.

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>

namespace data {

// Returns when the device has done all that it was given; at once on the CPU. To be called before
// a clock is read.
void synchronize(at::Device device);

// The most that tensors made by `work` held at once on the device, in bytes, beside what is there
// already (CPU: as peak_tensor_bytes; meta: as peak_meta_bytes).
int64_t peak_bytes(at::Device device, const std::function<void()>& work);

// Bytes of the device's memory that this process has taken: CPU: resident; a GPU: its tensors.
double used_memory(at::Device device);
// The most so far, since reset_peak_memory(device), which returns false where it cannot.
double peak_memory(at::Device device);
bool reset_peak_memory(at::Device device);

// Bytes that this process may hold on the device, those that it holds among them: of a GPU what its
// driver calls free and what libtorch keeps of it; infinite for the CPU, which can swap.
double memory_within_reach(at::Device device);

}  // namespace data
