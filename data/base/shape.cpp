#include "data/base/shape.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace data {

std::string shape_text(at::IntArrayRef shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
  }
  return text + "]";
}

void check_shape(const at::Tensor& x, std::initializer_list<int64_t> shape, const char* what) {
  TORCH_CHECK(x.defined(), what, ": expected a tensor, got none");
  const at::IntArrayRef expected(shape.begin(), shape.size());
  const bool fits = static_cast<size_t>(x.dim()) == expected.size() &&
                    std::equal(expected.begin(), expected.end(), x.sizes().begin(),
                               [](int64_t want, int64_t got) { return want < 0 || want == got; });
  TORCH_CHECK(fits, what, ": expected shape ", shape_text(expected), ", got ",
              shape_text(x.sizes()));
}

}  // namespace data
