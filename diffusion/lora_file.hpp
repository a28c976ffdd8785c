#pragma once

// LoRA files: PEFT's names as diffusers writes them, and kohya's as the web UIs read them.

#include <filesystem>
#include <map>
#include <string>

#include "diffusion/lora.hpp"

namespace diffusion {

enum class LoraFormat {
  kPeft,   // unet.<module>.lora_A.weight, unet.<module>.lora_B.weight, metadata
           // lora_adapter_metadata
  kKohya,  // lora_unet_<module_with_underscores>.lora_down.weight, .lora_up.weight, .alpha
};

// Writes the UNet's adapters (there must be one). `metadata` is added to what the format needs: see
// kohya_metadata.
void write_lora(const std::filesystem::path& path,
                UNet& unet,
                LoraFormat format,
                at::ScalarType dtype,
                const std::map<std::string, std::string>& metadata);

struct LoadedLora {
  int64_t modules = 0;  // adapters attached to the UNet
  int64_t skipped = 0;  // tensors of a text encoder: laurel adapts the UNet alone
};
// Attaches the adapters of a file in either form, scaled by `strength`, in place of those that are
// there. Throws BadInput naming the file and the tensor: no adapters, another network's, half of a
// pair missing, of another shape.
LoadedLora load_lora(const std::filesystem::path& path, UNet& unet, double strength = 1.0);

// What viewers of LoRA files show: kohya's ss_* and Stability's modelspec.*, for an adapter of this
// UNet.
struct LoraCard {
  std::string title = {}, base_model = {}, comment = {};
  std::string prediction_type = "epsilon";  // or "v_prediction"
  int64_t steps = 0, epochs = 0, resolution = 0, seed = 0;
  double learning_rate = 0;
  double started = 0, finished = 0;  // seconds since 1970
};
std::map<std::string, std::string> kohya_metadata(UNet& unet, const LoraCard& card);

}  // namespace diffusion
