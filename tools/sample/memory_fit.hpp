#pragma once

#include "diffusion/pipeline/generate.hpp"

namespace tools {

struct MemoryLimit {
  double bytes = 0;
  int64_t batch_size = 1;  // images at a time, at most
  int64_t tile_size = 0;   // pixels of the VAE's tiles, 0: its own
  bool told = true;        // the user's limit, not what a GPU has free: the choice is always said
};
struct MemoryFit {
  int64_t batch_size = 1;
  bool tiled = false;  // the pipeline's VAE works in tiles from now on
  double peak = 0;     // bytes, forecast
};

// How many images can be made at once so that the forecast peak stays under the limit, and tiling
// where one whole image does not fit: a step and a decode of one and of two images are run, large
// ones at half their sides. `options`: of the largest image; `request`: one like
// those to come. Says what it chose on stderr. Throws BadInput with what would fit.
MemoryFit fit_generation(diffusion::Pipeline& pipeline,
                         diffusion::GenerateOptions options,
                         diffusion::ImageRequest request,
                         const MemoryLimit& limit);

// "what would fit: about 512x512", in steps of 64 pixels, where `share` of the image's memory is
// there; or that no size does.
std::string size_that_fits(int64_t width, int64_t height, double share);

}  // namespace tools
