#pragma once

// What a config describes, without a number of it.

#include "diffusion/networks/unet/unet.hpp"

namespace diffusion {

// The network with tensors of the meta device: names, shapes and sizes at no memory. Throws
// BadInput as make_unet does.
UNet meta_unet(const UNetConfig& config);

}  // namespace diffusion
