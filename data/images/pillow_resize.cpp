#include "data/images/pillow_resize.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/base/shape.hpp"

namespace data {
namespace {

constexpr int kBits = 22;  // of a coefficient's fraction: 32 less 8 of a pixel less 2 of headroom

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// What one output pixel is made of.
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;
};

std::vector<Taps> taps_of(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0), support = 2 * stretch;
  std::vector<Taps> taps(static_cast<size_t>(out));
  for (int64_t x = 0; x < out; ++x) {
    const double centre = (static_cast<double>(x) + 0.5) * scale;
    const int64_t first = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const int64_t end = std::min(in, static_cast<int64_t>(centre + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t i = first; i < end; ++i) {
      weights.push_back(bicubic((static_cast<double>(i) - centre + 0.5) / stretch));
      sum += weights.back();
    }
    Taps& own = taps[static_cast<size_t>(x)];
    own.first = first;
    for (const double weight : weights) {
      const double fixed = weight / sum * (1 << kBits);
      own.weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return taps;
}

uint8_t clipped(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

// [H, W, 3] -> [H, width, 3]
at::Tensor horizontal(const at::Tensor& pixels, int64_t width) {
  const int64_t height = pixels.size(0), in = pixels.size(1);
  const auto taps = taps_of(in, width);
  at::Tensor result = at::empty({height, width, 3}, at::kByte);
  const auto* from = pixels.const_data_ptr<uint8_t>();
  auto* to = result.data_ptr<uint8_t>();
  for (int64_t y = 0; y < height; ++y, from += in * 3) {
    for (const Taps& own : taps) {
      int32_t red = 1 << (kBits - 1), green = red, blue = red;
      const uint8_t* pixel = from + own.first * 3;
      for (const int32_t weight : own.weights) {
        red += *pixel++ * weight;
        green += *pixel++ * weight;
        blue += *pixel++ * weight;
      }
      *to++ = clipped(red);
      *to++ = clipped(green);
      *to++ = clipped(blue);
    }
  }
  return result;
}

// [H, W, 3] -> [height, W, 3]; a whole row at a time.
at::Tensor vertical(const at::Tensor& pixels, int64_t height) {
  const int64_t in = pixels.size(0), row = pixels.size(1) * 3;
  const auto taps = taps_of(in, height);
  at::Tensor result = at::empty({height, pixels.size(1), 3}, at::kByte);
  const auto* from = pixels.const_data_ptr<uint8_t>();
  auto* to = result.data_ptr<uint8_t>();
  std::vector<int32_t> sums(static_cast<size_t>(row));
  for (const Taps& own : taps) {
    std::fill(sums.begin(), sums.end(), 1 << (kBits - 1));
    const uint8_t* line = from + own.first * row;
    for (const int32_t weight : own.weights) {
      for (int64_t i = 0; i < row; ++i) sums[static_cast<size_t>(i)] += line[i] * weight;
      line += row;
    }
    for (const int32_t sum : sums) *to++ = clipped(sum);
  }
  return result;
}

}  // namespace

at::Tensor pillow_bicubic(const at::Tensor& pixels, int64_t height, int64_t width) {
  check_shape(pixels, {-1, -1, 3}, "pillow_bicubic: pixels");
  TORCH_CHECK(pixels.scalar_type() == at::kByte, "pillow_bicubic: expected uint8");
  TORCH_CHECK(height > 0 && width > 0, "pillow_bicubic: expected a size above 0");
  at::Tensor result = pixels.contiguous();
  if (width != result.size(1)) result = horizontal(result, width);
  if (height != result.size(0)) result = vertical(result, height);
  return result;
}

}  // namespace data
