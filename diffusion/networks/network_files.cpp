#include "diffusion/networks/network_files.hpp"

#include <nlohmann/json.hpp>

#include "data/base/json.hpp"
#include "diffusion/networks/unet/stored_unet.hpp"

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
       .load = [](const fs::path& folder, const NetworkHolding& holding) -> Network {
         return holding.as_stored ? load_stored_unet(folder) : load_unet(folder);
       }},
      {.part = "transformer",
       .class_name = "SD3Transformer2DModel",
       .load = [](const fs::path& folder, const NetworkHolding& holding) -> Network {
         return load_mmdit(folder, holding.streamed);
       }},
      {.part = "transformer",
       .class_name = "FluxTransformer2DModel",
       .load = [](const fs::path& folder, const NetworkHolding& holding) -> Network {
         return load_flux(folder, holding.streamed);
       }}};
  return kinds;
}

const NetworkKind& kind_of(const Network& network) { return network_kinds().at(network.index()); }

Network load_network(const fs::path& folder, const NetworkHolding& holding) {
  const fs::path config = folder / "config.json";
  const auto& kinds = network_kinds();
  if (fs::exists(config)) {
    const auto name = data::read_json_object(config).value("_class_name", nlohmann::json());
    for (const NetworkKind& kind : kinds) {
      if (name == kind.class_name) return kind.load(folder, holding);
    }
  }
  return kinds.front().load(folder, holding);
}

void save_network(const fs::path& folder, const Network& network, at::ScalarType dtype) {
  const fs::path part = folder / kind_of(network).part;
  std::visit([&](const auto& one) { save_files(part, one, dtype); }, network);
}

}  // namespace diffusion
