#include "finetune/guard/image_statistics.hpp"

#include <ATen/ATen.h>

#include "data/images/image_io.hpp"
#include "data/images/pixel_measures.hpp"

namespace guard {
namespace {

constexpr int kJpegQuality = 90;
constexpr double kHalfStep = 0.5 / 255;

at::Tensor mean_luma(const at::Tensor& images) { return data::luma(images).mean({1, 2}); }

at::Tensor jpeg_kilobytes(const at::Tensor& images) {
  std::vector<double> sizes;
  for (int64_t i = 0; i < images.size(0); ++i)
    sizes.push_back(static_cast<double>(data::encode_jpeg(images[i], kJpegQuality).size()) / 1000);
  return at::tensor(sizes, at::kDouble);
}

}  // namespace

const std::vector<ImageStatistic>& image_statistics() {
  static const std::vector<ImageStatistic> rows{
      {"luma", "brightness", mean_luma},
      {"contrast", "contrast", data::contrast},
      {"saturation", "saturation", data::saturation},
      {"clipped", "the share of pixels at 0 or 1", clipped_share},
      {"laplacian", "fine detail", data::laplacian_energy},
      {"jpeg_kb", "the size as a JPEG", jpeg_kilobytes},
  };
  return rows;
}

at::Tensor clipped_share(const at::Tensor& images) {
  const at::Tensor low = images.amin(1).le(kHalfStep), high = images.amax(1).ge(1 - kHalfStep);
  return low.logical_or(high).to(at::kDouble).mean({1, 2});
}

at::Tensor measure_statistics(const at::Tensor& images) {
  TORCH_CHECK(images.dim() == 4 && images.size(1) == 3,
              "measure_statistics: expected [B, 3, H, W], got ", images.sizes());
  const at::Tensor here = images.to(at::kCPU, at::kFloat);
  std::vector<at::Tensor> columns;
  for (const auto& statistic : image_statistics())
    columns.push_back(statistic.measure(here).to(at::kDouble));
  return at::stack(columns, 1);
}

}  // namespace guard
