#pragma once

// A network with some of its blocks left out: the worse network of skip-layer guidance.

#include <cstdint>
#include <vector>

#include "diffusion/networks/network.hpp"

namespace diffusion {

// The blocks that can be left out, from 0 on: those of an MMDiT before its last one; else 0.
int64_t skippable_blocks(const Network& network);

// The same weights without `blocks`, each of [0, skippable_blocks), none twice. Throws c10::Error
// for others.
Network without_blocks(const Network& network, const std::vector<int64_t>& blocks);

}  // namespace diffusion
