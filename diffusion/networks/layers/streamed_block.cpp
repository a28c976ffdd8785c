#include "diffusion/networks/layers/streamed_block.hpp"

#include <ATen/ATen.h>

#include "data/storage/mapped_file.hpp"
#include "data/weights/tensor_map.hpp"

namespace diffusion {

data::TensorVisitor reading_visitor(const std::shared_ptr<const data::Weights>& file,
                                    at::Device device) {
  return [file, device](const std::string& name, at::Tensor& tensor) {
    if (!tensor.is_meta()) return;
    const at::Tensor& stored = file->tensors.at(name);
    const at::Tensor value = data::take_sized(*file, name, tensor.sizes());
    // A view of the file is copied, so that its pages can leave memory.
    tensor = value.to(value.options().device(device).dtype(tensor.scalar_type()),
                      /*non_blocking=*/false, /*copy=*/value.is_same(stored));
    data::drop_pages(stored);
  };
}

}  // namespace diffusion
