#include "diffusion/pipeline/conditioning.hpp"

#include <ATen/ATen.h>

#include "data/device/transfer.hpp"

namespace diffusion {

TextCondition to_device(const TextCondition& text, at::Device device) {
  return {data::to_device(text.hidden, device),
          text.pooled.defined() ? data::to_device(text.pooled, device) : text.pooled};
}

at::Tensor time_ids(const SizeConditions& sizes, int64_t height, int64_t width) {
  const auto or_own = [](int64_t asked, int64_t own) {
    return static_cast<float>(asked > 0 ? asked : own);
  };
  return at::tensor({or_own(sizes.original_height, height), or_own(sizes.original_width, width),
                     static_cast<float>(sizes.crop_top), static_cast<float>(sizes.crop_left),
                     or_own(sizes.target_height, height), or_own(sizes.target_width, width)})
      .view({1, kTimeIds});
}

}  // namespace diffusion
