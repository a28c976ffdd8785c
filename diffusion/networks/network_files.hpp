#pragma once

// Networks of every architecture in diffusers' folders.

#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/networks/network.hpp"

namespace diffusion {

// What of a network is held otherwise than in fp32 in memory, for sampling.
struct NetworkHolding {
  bool streamed = false;   // a transformer's blocks stay in the file (streaming.hpp)
  bool as_stored = false;  // a UNet's wide weights keep the file's type until prepack replaces them
};

// An architecture as diffusers has it.
struct NetworkKind {
  const char* part;        // folder of a whole checkpoint: "unet"
  const char* class_name;  // of config.json: "UNet2DConditionModel"
  Network (*load)(const std::filesystem::path& folder, const NetworkHolding& holding);
};
// In the order of Network's alternatives.
const std::vector<NetworkKind>& network_kinds();
const NetworkKind& kind_of(const Network& network);

// A folder with config.json, whose _class_name says which architecture it is (a UNet where it says
// none), and weights. Throws BadInput as its own function does.
Network load_network(const std::filesystem::path& folder, const NetworkHolding& holding = {});

// Writes config.json and weights without adapters into <folder>/<part>.
void save_network(const std::filesystem::path& folder,
                  const Network& network,
                  at::ScalarType dtype);

}  // namespace diffusion
