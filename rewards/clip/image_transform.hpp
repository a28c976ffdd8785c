#pragma once

// Preprocessing of an image of any size to the square input of a CLIP or BLIP, as in each package.

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace rewards {

enum class Fit {
  kHuggingFace,  // short side to `size`, centre crop; odd margins are floored
  kTorchvision,  // the same, odd margins rounded to even: OpenAI, OpenCLIP
  kLetterbox,    // long side to `size`, black borders: HPSv2
};

// Every package here uses CLIP's mean and deviation.
struct ImageTransform {
  int64_t size = 224;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};
  Fit fit = Fit::kHuggingFace;
  bool antialias = true;  // of kLetterbox; false as in torchvision before 0.17
};

// Position of the centre crop, or size of the letterbox's borders.
struct Geometry {
  int64_t height = 0, width = 0;  // resized to
  int64_t top = 0, left = 0;      // corner of the crop; kLetterbox: rows and columns added
};
Geometry geometry(const ImageTransform& transform, int64_t height, int64_t width);

// images: [B, 3, H, W] in [0, 1] -> [B, 3, size, size], normalised. Differentiable: resized by
// antialiased bicubic as floats, clamped to [0, 1] where the package works on 8 bits. Images of the
// native size are only normalised.
at::Tensor clip_preprocess(const ImageTransform& transform, const at::Tensor& images);

// As the Python package computes from the same file, with Pillow's 8-bit resize (kLetterbox uses
// floats there too). images: [B, 3, H, W] whose values are 8-bit levels / 255. No gradient.
at::Tensor clip_preprocess_exact(const ImageTransform& transform, const at::Tensor& images);

// The exact one for 8-bit images without a gradient, else the differentiable one.
at::Tensor preprocess(const ImageTransform& transform, const at::Tensor& images);

// Is every value an 8-bit level / 255, as in an image from a file?
bool is_eight_bit(const at::Tensor& images);

}  // namespace rewards
