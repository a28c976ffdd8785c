#pragma once

#include <functional>

namespace finetune {

// What a piece of work took.
struct Work {
  double seconds = 0, flop = 0, bytes = 0;  // bytes: of tensors at once
};
Work measured(const std::function<void()>& run);

}  // namespace finetune
