#pragma once

// Writing LoRA files: PEFT's names as diffusers writes them, and kohya's as the web UIs read them.

#include <filesystem>
#include <map>
#include <string>

#include "diffusion/lora/adapters.hpp"
#include "diffusion/lora/read.hpp"

namespace diffusion {

enum class LoraFormat {
  kPeft,   // unet.<module>.lora_A.weight, unet.<module>.lora_B.weight; one rank and alpha stand in
           // the metadata lora_adapter_metadata, several alphas are multiplied into lora_B
  kKohya,  // of FLUX under the original code's modules;
           // lora_unet_<module_with_underscores>.lora_down.weight, .lora_up.weight, .alpha (one for
           // all: several are multiplied into lora_up)
};

// The adapters that a network carries, as a file would hold them (the tensors are shared).
LoraWeights adapters_of(Network& network);

// Writes low-rank changes (there must be one); other forms throw BadInput. `metadata` is added to
// what the format needs: see kohya_metadata. kohya's form gets sshs_model_hash, the SHA-256 of the
// tensors' bytes, by which web UIs know a LoRA; both forms get ModelSpec's, where the metadata has
// its keys.
void write_lora(const std::filesystem::path& path,
                const LoraWeights& lora,
                LoraFormat format,
                at::ScalarType dtype,
                const std::map<std::string, std::string>& metadata);

// What viewers of LoRA files show: kohya's ss_* and Stability's modelspec.*.
struct LoraCard {
  std::string title = {}, base_model = {}, comment = {};
  std::string prediction_type = "epsilon";  // or "v_prediction"
  int64_t steps = 0, epochs = 0, resolution = 0, seed = 0;
  double learning_rate = 0;
  double started = 0, finished = 0;              // seconds since 1970
  std::map<std::string, std::string> more = {};  // further keys, which take precedence
};
// Of a LoRA that laurel has trained.
std::map<std::string, std::string> kohya_metadata(const LoraWeights& lora, const LoraCard& card);
// Of one that was merged or extracted: what is known without a training.
std::map<std::string, std::string> merged_metadata(const LoraWeights& lora,
                                                   const std::string& title,
                                                   const std::string& comment);

}  // namespace diffusion
