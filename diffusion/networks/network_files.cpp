#include "diffusion/networks/network_files.hpp"

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"

namespace fs = std::filesystem;

namespace diffusion {
namespace {

void save_files(const fs::path& folder, UNet network, at::ScalarType dtype) {
  save_unet(folder, network, dtype);
}
void save_files(const fs::path& folder, MMDiT network, at::ScalarType dtype) {
  save_mmdit(folder, network, dtype);
}
void save_files(const fs::path& folder, Flux network, at::ScalarType dtype) {
  save_flux(folder, network, dtype);
}

}  // namespace

const std::vector<NetworkKind>& network_kinds() {
  static const std::vector<NetworkKind> kinds = {
      {.part = "unet",
       .class_name = "UNet2DConditionModel",
       .load = [](const fs::path& folder, bool) -> Network { return load_unet(folder); }},
      {.part = "transformer",
       .class_name = "SD3Transformer2DModel",
       .load = [](const fs::path& folder, bool streamed) -> Network {
         return load_mmdit(folder, streamed);
       }},
      {.part = "transformer",
       .class_name = "FluxTransformer2DModel",
       .load = [](const fs::path& folder, bool streamed) -> Network {
         return load_flux(folder, streamed);
       }}};
  return kinds;
}

const NetworkKind& kind_of(const Network& network) { return network_kinds().at(network.index()); }

Network load_network(const fs::path& folder, bool streamed) {
  const fs::path config = folder / "config.json";
  const auto& kinds = network_kinds();
  if (fs::exists(config)) {
    const auto name = data::read_json_object(config).value("_class_name", nlohmann::json());
    for (const NetworkKind& kind : kinds) {
      if (name == kind.class_name) return kind.load(folder, streamed);
    }
  }
  return kinds.front().load(folder, streamed);
}

void save_network(const fs::path& folder, const Network& network, at::ScalarType dtype) {
  const fs::path part = folder / kind_of(network).part;
  std::visit([&](const auto& one) { save_files(part, one, dtype); }, network);
}

}  // namespace diffusion
