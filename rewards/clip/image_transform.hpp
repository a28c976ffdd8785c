#pragma once

// From an image of any size to the square that a CLIP or a BLIP sees, as each package does it.

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace rewards {

enum class Fit {
  kHuggingFace,  // the short side to `size`, the middle square; an odd excess is floored
  kTorchvision,  // the same with the excess halved to the even neighbour: OpenAI, OpenCLIP
  kLetterbox,    // the long side to `size`, black around: HPSv2
};

// Mean and deviation are CLIP's in every package here.
struct ImageTransform {
  int64_t size = 224;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};
  Fit fit = Fit::kHuggingFace;
  bool antialias = true;  // of kLetterbox: torchvision before 0.17 did not
};

// Where the middle square begins, and what the letterbox adds.
struct Geometry {
  int64_t height = 0, width = 0;  // resized to
  int64_t top = 0, left = 0;      // the square's corner in it; kLetterbox: rows and columns added
};
Geometry geometry(const ImageTransform& transform, int64_t height, int64_t width);

// images: [B, 3, H, W] in [0, 1] -> [B, 3, size, size], normalised. Differentiable: resized by
// antialiased bicubic as floats, clamped to [0, 1] where the package works on 8 bits. Images of the
// native size are only normalised.
at::Tensor clip_preprocess(const ImageTransform& transform, const at::Tensor& images);

// What the Python package computes from the same file, with Pillow's 8-bit resize (kLetterbox works
// on floats there too). images: [B, 3, H, W] whose values are 8-bit levels / 255. No gradient.
at::Tensor clip_preprocess_exact(const ImageTransform& transform, const at::Tensor& images);

// The exact one for 8-bit images without a gradient, else the differentiable one.
at::Tensor preprocess(const ImageTransform& transform, const at::Tensor& images);

// Every value is an 8-bit level / 255, as of an image from a file.
bool is_eight_bit(const at::Tensor& images);

}  // namespace rewards
