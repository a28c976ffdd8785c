#include "data/images/contact_sheet.hpp"

#include <ATen/ATen.h>

#include <vector>

namespace data {

at::Tensor contact_sheet(const at::Tensor& images, int64_t columns) {
  std::vector<at::Tensor> rows;
  for (const auto& row : images.split(columns)) {
    const at::Tensor line = at::cat(row.unbind(0), 2);  // [3, H, columns W]
    rows.push_back(at::constant_pad_nd(line, {0, columns * images.size(3) - line.size(2)}, 1.0));
  }
  return at::cat(rows, 1);
}

}  // namespace data
