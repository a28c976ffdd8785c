#include "data/images/from_pixels.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"

namespace data {

at::Tensor from_pixels(const at::Tensor& pixels) {
  TORCH_CHECK(pixels.dim() >= 3 && pixels.size(-1) == 3 && pixels.scalar_type() == at::kByte,
              "from_pixels: expected [.., H, W, 3] uint8, got ", shape_text(pixels.sizes()), " ",
              pixels.scalar_type());
  return pixels.movedim(-1, -3)
      .to(at::kFloat, /*non_blocking=*/false, /*copy=*/true, at::MemoryFormat::Contiguous)
      .div_(255);
}

}  // namespace data
