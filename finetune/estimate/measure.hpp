#pragma once

#include <c10/core/Device.h>

#include <functional>

namespace finetune {

// What a piece of work took.
struct Work {
  double seconds = 0, flop = 0, bytes = 0;  // bytes: of tensors at once
};
Work measured(at::Device device, const std::function<void()>& run);

}  // namespace finetune
