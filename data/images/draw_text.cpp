#include "data/images/draw_text.hpp"

#include <ATen/ATen.h>

#include <opencv2/imgproc.hpp>

#include "data/base/shape.hpp"
#include "data/images/image_io.hpp"

namespace data {

at::Tensor draw_text(const at::Tensor& image, const std::string& text) {
  check_shape(image, {3, -1, -1}, "draw_text: image");
  at::Tensor pixels = to_uint8(image).permute({1, 2, 0}).contiguous();  // [H, W, 3]
  cv::Mat view(static_cast<int>(image.size(1)), static_cast<int>(image.size(2)), CV_8UC3,
               pixels.data_ptr());
  const double scale = static_cast<double>(image.size(1)) / 256;  // 1/10 of the height
  cv::putText(view, text, {2, view.rows / 2}, cv::FONT_HERSHEY_SIMPLEX, std::max(scale, 0.25),
              cv::Scalar(255, 255, 255), 1, cv::LINE_AA);
  return from_uint8(pixels.permute({2, 0, 1}).contiguous());
}

}  // namespace data
