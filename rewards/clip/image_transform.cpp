#include "rewards/clip/image_transform.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "data/base/shape.hpp"
#include "data/images/image_io.hpp"
#include "data/images/pillow_resize.hpp"

namespace rewards {
namespace {

int64_t half_to_even(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

at::Tensor normalised(const ImageTransform& transform, const at::Tensor& square) {
  const auto row = [&](const std::array<double, 3>& values) {
    return at::tensor(at::ArrayRef<double>(values)).to(square).view({1, 3, 1, 1});
  };
  return (square - row(transform.mean)) / row(transform.std);
}

// images: [B, 3, H, W] -> [B, 3, size, size]
at::Tensor middle(const at::Tensor& images, const Geometry& place, int64_t size) {
  return images.slice(2, place.top, place.top + size).slice(3, place.left, place.left + size);
}

at::Tensor letterboxed(const ImageTransform& transform, const at::Tensor& images) {
  const int64_t size = transform.size;
  const Geometry place = geometry(transform, images.size(2), images.size(3));
  at::Tensor resized = images;
  if (place.height != images.size(2) || place.width != images.size(3)) {
    const std::array<int64_t, 2> target{place.height, place.width};
    resized = transform.antialias
                  ? at::_upsample_bicubic2d_aa(images, target, false, std::nullopt, std::nullopt)
                  : at::upsample_bicubic2d(images, target, false, std::nullopt, std::nullopt);
  }
  return at::constant_pad_nd(resized, {place.left, size - place.width - place.left, place.top,
                                       size - place.height - place.top});
}

}  // namespace

Geometry geometry(const ImageTransform& transform, int64_t height, int64_t width) {
  const int64_t size = transform.size, shorter = std::min(height, width);
  if (transform.fit == Fit::kLetterbox) {
    const double scale = static_cast<double>(size) / static_cast<double>(std::max(height, width));
    const auto side = [&](int64_t x) {
      return std::max<int64_t>(1, half_to_even(static_cast<double>(x) * scale));
    };
    const int64_t new_height = side(height), new_width = side(width);
    return {new_height, new_width, (size - new_height) / 2, (size - new_width) / 2};
  }
  const auto side = [&](int64_t x) { return x == shorter ? size : size * x / shorter; };
  const auto corner = [&](int64_t excess) {
    return transform.fit == Fit::kHuggingFace ? excess / 2
                                              : half_to_even(static_cast<double>(excess) / 2);
  };
  const int64_t new_height = side(height), new_width = side(width);
  return {new_height, new_width, corner(new_height - size), corner(new_width - size)};
}

at::Tensor clip_preprocess(const ImageTransform& transform, const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "clip_preprocess: images");
  if (transform.fit == Fit::kLetterbox)
    return normalised(transform, letterboxed(transform, images));
  const Geometry place = geometry(transform, images.size(2), images.size(3));
  at::Tensor resized = images;
  if (std::min(images.size(2), images.size(3)) != transform.size) {
    resized = at::_upsample_bicubic2d_aa(images, {place.height, place.width}, false, std::nullopt,
                                         std::nullopt)
                  .clamp(0, 1);
  }
  return normalised(transform, middle(resized, place, transform.size));
}

at::Tensor clip_preprocess_exact(const ImageTransform& transform, const at::Tensor& images) {
  data::check_shape(images, {-1, 3, -1, -1}, "clip_preprocess_exact: images");
  const at::NoGradGuard no_gradient;
  const bool native = std::min(images.size(2), images.size(3)) == transform.size;
  if (transform.fit == Fit::kLetterbox || native) return clip_preprocess(transform, images);
  const Geometry place = geometry(transform, images.size(2), images.size(3));
  const at::Tensor pixels =
      data::to_uint8(images).cpu().permute({0, 2, 3, 1}).contiguous();  // [B, H, W, 3]
  at::Tensor resized = at::empty({images.size(0), place.height, place.width, 3}, at::kByte);
  at::parallel_for(0, images.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      resized[i].copy_(data::pillow_bicubic(pixels[i], place.height, place.width));
  });
  const at::Tensor floats = data::from_uint8(resized.permute({0, 3, 1, 2})).to(images.device());
  return normalised(transform, middle(floats, place, transform.size));
}

at::Tensor preprocess(const ImageTransform& transform, const at::Tensor& images) {
  const bool graph = at::GradMode::is_enabled() && images.requires_grad();
  return !graph && is_eight_bit(images) ? clip_preprocess_exact(transform, images)
                                        : clip_preprocess(transform, images);
}

bool is_eight_bit(const at::Tensor& images) {
  const at::Tensor levels = images.detach() * 255;
  return (levels - levels.round()).abs().max().item<double>() < 1e-3;
}

}  // namespace rewards
