#pragma once

// A LoRA file in memory, whatever its form, and its use on a checkpoint.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/lora/forms.hpp"
#include "diffusion/lora/names.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

struct LoraWeights {
  std::string source;  // the file
  // By part (kUnetPart, ...) and module.
  std::map<std::string, std::map<std::string, LoraChange>> parts;
  std::map<std::string, std::string> metadata;
  int64_t without_alpha = 0;  // modules that use their rank as alpha
};

// Reads kohya's, PEFT's and diffusers' names, LoHa and LoKr; safetensors or torch's files. Throws
// BadInput naming the file and the tensor: no adapter, half of a pair missing, values that are not
// finite, kinds that are not read.
LoraWeights read_lora(const std::filesystem::path& path);

int64_t count_changes(const LoraWeights& lora);
// "Stable Diffusion 1", told from the width of the text that its layers read; "" when it does not
// show.
std::string lora_family(const LoraWeights& lora);
// The family of a network that attends to text of such a width: "Stable Diffusion 2" of 1024.
std::string family_text(int64_t context_width);
// One line for people: "style.safetensors: LoRA of rank 8 for Stable Diffusion 1, 192 layers ...".
std::string lora_summary(const LoraWeights& lora);

// The weights that adapters may change, by part and module name; they point into a model.
struct LoraTarget {
  std::string source;            // of the model, for messages
  std::string family;            // "" when unknown
  int64_t layers_per_block = 2;  // of the UNet: what the original code's block numbers mean
  std::map<std::string, std::map<std::string, at::Tensor*>> parts;
};
LoraTarget lora_target(Network& network);
LoraTarget lora_target(Pipeline& pipeline);

struct LoraUse {
  std::shared_ptr<const LoraWeights> lora;
  double unet_weight = 1.0, text_weight = 1.0;
};
// Adds weight * change to the target's weights, for all uses at once. The weights become tensors of
// their own (a copy of the model keeps its own), in their dtype and on their device. Throws
// BadInput naming the first module that the model lacks, or whose shape differs, and the family
// that the LoRA fits; nothing is changed then.
void apply_loras(LoraTarget& target, const std::vector<LoraUse>& uses);
// Throws as it would.
void check_loras(const LoraTarget& target, const std::vector<LoraUse>& uses);
// The same on a pipeline; the prompts that it has encoded are forgotten where the text encoder
// changes.
void apply_loras(Pipeline& pipeline, const std::vector<LoraUse>& uses);

}  // namespace diffusion
