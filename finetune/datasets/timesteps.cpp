#include "finetune/datasets/timesteps.hpp"

#include <ATen/ATen.h>

namespace finetune {

at::Tensor spread_timesteps(int64_t count, int64_t num_train_timesteps, at::Generator& generator) {
  const at::Tensor offset = at::rand({1}, generator, at::kDouble);
  const at::Tensor place = (at::arange(count, at::kDouble) + offset) / static_cast<double>(count);
  return (place * static_cast<double>(num_train_timesteps))
      .to(at::kLong)
      .clamp_max(num_train_timesteps - 1);
}

}  // namespace finetune
