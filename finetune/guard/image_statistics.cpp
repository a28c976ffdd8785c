#include "finetune/guard/image_statistics.hpp"

#include <ATen/ATen.h>

#include "data/images/image_io.hpp"

namespace guard {
namespace {

constexpr int kJpegQuality = 90;
constexpr double kHalfStep = 0.5 / 255;

// Rec. 709. -> [B, H, W]
at::Tensor luma_of(const at::Tensor& images) {
  return 0.2126 * images.select(1, 0) + 0.7152 * images.select(1, 1) + 0.0722 * images.select(1, 2);
}

at::Tensor luma(const at::Tensor& images) { return luma_of(images).mean({1, 2}); }

at::Tensor contrast(const at::Tensor& images) {
  return luma_of(images).flatten(1).std(1, /*unbiased=*/false);
}

// The largest channel less the smallest, as in HSV's chroma.
at::Tensor saturation(const at::Tensor& images) {
  return (images.amax(1) - images.amin(1)).mean({1, 2});
}

// Mean square of the four-neighbour Laplacian of the luma: fine detail and noise.
at::Tensor laplacian(const at::Tensor& images) {
  const at::Tensor x = luma_of(images);
  if (x.size(1) < 3 || x.size(2) < 3) return at::zeros({x.size(0)}, x.options());
  const auto part = [&](int64_t row, int64_t column) {
    return x.slice(1, row, x.size(1) - 2 + row).slice(2, column, x.size(2) - 2 + column);
  };
  const at::Tensor sum = part(0, 1) + part(2, 1) + part(1, 0) + part(1, 2) - 4 * part(1, 1);
  return sum.square().mean({1, 2});
}

at::Tensor jpeg_kilobytes(const at::Tensor& images) {
  std::vector<double> sizes;
  for (int64_t i = 0; i < images.size(0); ++i)
    sizes.push_back(static_cast<double>(data::encode_jpeg(images[i], kJpegQuality).size()) / 1000);
  return at::tensor(sizes, at::kDouble);
}

}  // namespace

const std::vector<ImageStatistic>& image_statistics() {
  static const std::vector<ImageStatistic> rows{
      {"luma", "brightness", luma},
      {"contrast", "contrast", contrast},
      {"saturation", "saturation", saturation},
      {"clipped", "the share of pixels at 0 or 1", clipped_share},
      {"laplacian", "fine detail", laplacian},
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
