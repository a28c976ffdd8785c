#include "data/device/precision.hpp"

#include <ATen/autocast_mode.h>

namespace data {

c10::ScalarType product_type(c10::DeviceType device) {
  const bool known = device == at::kCPU || device == at::kCUDA;  // devices with autocast
  if (!known || !at::autocast::is_autocast_enabled(device)) return at::kFloat;
  return at::autocast::get_autocast_dtype(device);
}

FullPrecision::FullPrecision(bool wanted, c10::DeviceType device)
    : device_(device), changed_(wanted && product_type(device) == at::kHalf) {
  if (changed_) at::autocast::set_autocast_enabled(device_, false);
}

FullPrecision::~FullPrecision() {
  if (changed_) at::autocast::set_autocast_enabled(device_, true);
}

}  // namespace data
