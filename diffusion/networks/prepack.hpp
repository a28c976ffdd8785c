#pragma once

// Networks in the form in which the CPU samples fastest: wide weights in oneDNN's layout
// (data/nn/prepacked.hpp), the plain ones given up.

#include <cstdint>

#include "diffusion/networks/network.hpp"

namespace diffusion {

// Of a pass of the network: rows of the batch, with those of guidance, and the latents' size.
struct PassShape {
  int64_t rows, height, width;
};

// Replaces the weights that gain by it, of the type that they have: those of linear layers, and in
// a UNet those of the convolutions that Winograd's filtering does not fit at that size. Passes of
// other sizes give the same images, at another speed. For sampling: such weights cannot be trained,
// merged with LoRAs or saved. Layers on a GPU, in a file or of narrow models stay as they are.
void prepack(Network& network, const PassShape& shape);

}  // namespace diffusion
