#pragma once

// The LoRAs of a run and their weights: --lora FILE=WEIGHT and <lora:name:weight> in prompts.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"

namespace tools {

struct LoraChoice {
  std::filesystem::path file;
  double unet_weight = 1.0, text_weight = 1.0;

  auto operator<=>(const LoraChoice&) const = default;
};

// Parses "FILE" or "FILE=0.8"; FILE may be a name in `folder`. `weight` is the default. Throws
// BadInput for a weight that is not a number in [-10, 10], and for a missing file.
LoraChoice parse_lora_choice(const std::string& text, double weight, const std::string& folder);
std::vector<LoraChoice> parse_lora_choices(const std::vector<std::string>& texts,
                                           double weight,
                                           const std::string& folder);

// A prompt without its <lora:...> tags, and the LoRAs of these tags.
struct TaggedPrompt {
  std::string prompt;
  std::vector<LoraChoice> loras;
};
// Parses AUTOMATIC1111's tags: <lora:name>, <lora:name:0.8>, <lora:name:TEXT:UNET> with a weight
// for the text encoder and one for the UNet, or by name, te=0.5 and unet=0.8. Looks for files in
// `folder` and its subfolders. Throws BadInput with `where`, the prompt, for a missing file (with
// the nearest names) and for a weight that is not a number or out of range.
TaggedPrompt take_lora_tags(const std::string& prompt,
                            const std::string& folder,
                            const std::string& where);

// The file of this name, without its extension, in a folder or its subfolders; those of a run's
// checkpoints have no name but their path. Throws BadInput when there is none.
std::filesystem::path find_lora(const std::string& folder,
                                const std::string& name,
                                const std::string& where);

// A cache of LoRA files: reads each file once.
class LoraShelf {
 public:
  std::vector<diffusion::LoraUse> uses(const std::vector<LoraChoice>& choices);
  const diffusion::LoraWeights& get(const std::filesystem::path& file) { return *read(file); }

 private:
  std::shared_ptr<const diffusion::LoraWeights> read(const std::filesystem::path& file);
  std::map<std::filesystem::path, std::shared_ptr<const diffusion::LoraWeights>> known_;
};

// "style 0.8", or "style 0.5:0.8" with the weights of text encoder and UNet.
std::string lora_text(const LoraChoice& choice);
std::string lora_text(const std::vector<LoraChoice>& choices);  // joined by commas

}  // namespace tools
