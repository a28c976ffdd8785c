#pragma once

#include "diffusion/pipeline/generate.hpp"

namespace tools {

struct MemoryLimit {
  double bytes = 0;
  int64_t batch_size = 1;  // largest number of images at a time
  int64_t tile_size = 0;   // of the VAE's tiles, pixels; 0: the VAE's own
  bool told = true;        // a limit of the user, not a GPU's free memory: always print the choice
};
struct MemoryFit {
  int64_t batch_size = 1;
  bool tiled = false;  // tiling of the pipeline's VAE is now enabled
  double peak = 0;     // estimated peak memory, bytes
};

// Chooses a batch size whose estimated peak memory is below the limit. Of the blocks of the network
// that are in the file, it reads as many into memory as fit; a pass reads the others in every step.
// Enables tiling when one image does not fit otherwise. The estimate comes from one step and one
// decode of one and of two images; large images are measured at half their sides. `options`: of the
// largest image; `request`: a typical one. Prints the choice on stderr. Throws BadInput, with a
// size that would fit, when one image does not fit.
MemoryFit fit_generation(diffusion::Pipeline& pipeline,
                         diffusion::GenerateOptions options,
                         diffusion::ImageRequest request,
                         const MemoryLimit& limit);

// How many of a network's first blocks can stay in memory when `bytes` are left beside a pass that
// reads one at a time. blocks: bytes of each
size_t kept_blocks(const std::vector<double>& blocks, double bytes);

// "what would fit: about 512x512", in steps of 64 pixels, when the fraction `share` of the image's
// memory is available; or a text that no size fits.
std::string size_that_fits(int64_t width, int64_t height, double share);

}  // namespace tools
