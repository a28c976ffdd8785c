#pragma once

// Between the CPU and the device that computes. A GPU works off what it is given while the CPU
// prepares more; a plain copy in either direction makes them wait for each other. Loops therefore
// send and do not fetch.

#include <ATen/core/Tensor.h>

#include <vector>

namespace data {

// A tensor on `device`; the CPU goes on at once (to a GPU: by page-locked memory). A tensor that is
// there already is returned itself.
at::Tensor to_device(const at::Tensor& tensor, at::Device device);
// Row numbers, [R] int64.
at::Tensor to_device(const std::vector<int64_t>& rows, at::Device device);

// A tensor on the CPU, once its device has computed it and all that came before. Of the meta
// device, which has nothing to fetch: itself.
at::Tensor to_host(const at::Tensor& tensor);

// Memory on the CPU that a device can fill without anybody waiting; uninitialised. What was copied
// into it (with non_blocking) may be read after anything that was computed later is fetched. For
// the meta device: on the meta device.
at::Tensor pinned_empty(at::IntArrayRef shape, at::ScalarType dtype, at::Device device);

}  // namespace data
