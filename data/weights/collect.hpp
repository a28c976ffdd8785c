#pragma once

#include <c10/core/ScalarType.h>

#include "data/weights/tensor_map.hpp"

namespace data {

// A model as the contents of a weights file: the tensors of `model` by their names after `prefix`,
// detached and in `dtype`, marked as PyTorch's. `model` is only read.
template <class Model>
Weights collect(Model model, const std::string& prefix, c10::ScalarType dtype) {
  Weights file;
  file.metadata["format"] = "pt";
  for_each_tensor(model, prefix, [&](const std::string& name, at::Tensor& tensor) {
    file.tensors[name] = tensor.detach().to(dtype);
  });
  return file;
}

}  // namespace data
