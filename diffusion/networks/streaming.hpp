#pragma once

// Networks whose blocks stay in the checkpoint's file (layers/streamed_block.hpp): they compute the
// same bits in less memory, and read the file in every pass. For sampling: their weights cannot be
// trained, merged with LoRAs or saved.

#include <cstdint>
#include <vector>

#include "diffusion/networks/network.hpp"

namespace diffusion {

// Of each block that stays in the file, in the order of a pass: what it takes in memory, in bytes.
// Empty: all are in memory.
std::vector<double> streamed_bytes(const Network& network);

// Reads the first `count` of them into memory, where they stay.
void keep_blocks(Network& network, size_t count);

}  // namespace diffusion
