#pragma once

// Random numbers of sampling: one torch CPU generator an image, drawn from as diffusers draws with
// generator=[torch.Generator().manual_seed(s), ...]: first the initial latents, then each step's
// noise. So an image depends on its own seed, not on the others in its batch nor on the device.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace diffusion {

std::vector<at::Generator> image_generators(const std::vector<uint64_t>& seeds);

// shape: {C, H, W}. One draw of [1, C, H, W] from each generator -> [B, C, H, W] fp32 on `device`,
// standard normal.
at::Tensor draw_noise(std::vector<at::Generator>& generators,
                      at::IntArrayRef shape,
                      at::Device device);

}  // namespace diffusion
