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

// Brings all weights that with_compute_dtype converts into the type `compute`, from whichever they
// have (layers/stored_layers.hpp), and those that gain by it into oneDNN's layout: of linear
// layers, and in a UNet of the convolutions that Winograd's filtering does not fit at that size.
// Passes of other sizes give the same images, at another speed. For sampling: such weights cannot
// be trained, merged with LoRAs or saved. Layers on a GPU or streamed from a file only change type.
void prepack(Network& network, const PassShape& shape, at::ScalarType compute);

}  // namespace diffusion
