#pragma once

// LoRAs added to a model's weights.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/lora/read.hpp"
#include "diffusion/pipeline/pipeline.hpp"

namespace diffusion {

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
