#include "data/device/transfer.hpp"

#include <ATen/ATen.h>

namespace data {

at::Tensor to_device(const at::Tensor& tensor, at::Device device) {
  if (tensor.device() == device) return tensor;
  const bool through_pinned = tensor.is_cpu() && device.is_cuda();
  return (through_pinned ? tensor.pin_memory() : tensor).to(device, /*non_blocking=*/true);
}

at::Tensor to_device(const std::vector<int64_t>& rows, at::Device device) {
  return to_device(at::tensor(rows, at::kLong), device);
}

at::Tensor to_host(const at::Tensor& tensor) { return tensor.is_meta() ? tensor : tensor.cpu(); }

at::Tensor pinned_empty(at::IntArrayRef shape, at::ScalarType dtype, at::Device device) {
  const auto options = at::TensorOptions().dtype(dtype);
  return at::empty(
      shape, device.is_meta() ? options.device(device) : options.pinned_memory(device.is_cuda()));
}

}  // namespace data
