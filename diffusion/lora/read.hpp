#pragma once

// A LoRA file in memory, whatever its form.

#include <filesystem>
#include <map>
#include <string>

#include "diffusion/lora/forms.hpp"
#include "diffusion/lora/names.hpp"

namespace diffusion {

struct LoraWeights {
  std::string source;  // the file
  // By part (kUnetPart, ...) and module.
  std::map<std::string, std::map<std::string, LoraChange>> parts;
  std::map<std::string, std::string> metadata;
  int64_t without_alpha = 0;  // modules that use their rank as alpha
  std::string bundled_words;  // learnt words in the same file, which are not read here; "sks, xyz"
};

// Reads kohya's, PEFT's, diffusers', OneTrainer's and LyCORIS' names, LoHa and LoKr; safetensors or
// torch's files, or the folder that PEFT or diffusers saved one into. Throws
// BadInput naming the file and the tensor: no adapter, half of a pair missing, values that are not
// finite, kinds that are not read.
LoraWeights read_lora(const std::filesystem::path& path);

int64_t count_changes(const LoraWeights& lora);
// "Stable Diffusion 1", inferred from the width of the text that its layers read; "" when it does
// not show.
std::string lora_family(const LoraWeights& lora);
// The family of a network that attends to text of such a width: "Stable Diffusion 2" of 1024.
std::string family_text(int64_t context_width);
// The family of a network of that class of diffusers.
std::string network_family(const std::string& network_class, int64_t context_width);
// One line for people: "style.safetensors: LoRA of rank 8 for Stable Diffusion 1, 192 layers ...".
std::string lora_summary(const LoraWeights& lora);

}  // namespace diffusion
