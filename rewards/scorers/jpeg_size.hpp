#pragma once

// The size of an image as a JPEG: the (in)compressibility rewards of DDPO (Black et al., "Training
// diffusion models with reinforcement learning", 2023, section 5.1). Not differentiable. stb's
// encoder does not subsample chroma above quality 90, so sizes are a few per cent above Pillow's.

#include "rewards/loader/entry.hpp"

namespace rewards {

// images: [B, 3, H, W] in [0, 1] -> [B] kB (1000 bytes), header included; quality 1..100
at::Tensor jpeg_kilobytes(const at::Tensor& images, int quality);

Reward jpeg_compressibility_reward(int quality);    // minus the size: flat images win
Reward jpeg_incompressibility_reward(int quality);  // the size: busy images win

extern const RewardEntry kJpegCompressibilityEntry, kJpegIncompressibilityEntry;

}  // namespace rewards
