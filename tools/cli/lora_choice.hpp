#pragma once

// Which LoRAs a run uses, and how strongly: --lora FILE=WEIGHT and <lora:name:weight> in prompts.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/lora/read.hpp"

namespace tools {

struct LoraChoice {
  std::filesystem::path file;
  double unet_weight = 1.0, text_weight = 1.0;

  auto operator<=>(const LoraChoice&) const = default;
};

// "FILE", or "FILE=0.8"; a name within `folder` does for the file. Throws BadInput naming the
// option for a weight that is no number, or not within -10 .. 10, and for a file that is not there.
LoraChoice parse_lora_choice(const std::string& text, double weight, const std::string& folder);
std::vector<LoraChoice> parse_lora_choices(const std::vector<std::string>& texts,
                                           double weight,
                                           const std::string& folder);

// A prompt without its <lora:...> tags, and what they ask for.
struct TaggedPrompt {
  std::string prompt;
  std::vector<LoraChoice> loras;
};
// AUTOMATIC1111's tags: <lora:name>, <lora:name:0.8>, <lora:name:TEXT:UNET> with a weight for the
// text encoder and one for the UNet, or by name, te=0.5 and unet=0.8. Files are found in `folder`
// and those within it. `where` names the prompt in the BadInput: a name that is not there (the ones
// near it are listed), a weight that is no number or out of range.
TaggedPrompt take_lora_tags(const std::string& prompt,
                            const std::string& folder,
                            const std::string& where);

// The file of this name, without its ending, in a folder or those within it. Throws BadInput.
std::filesystem::path find_lora(const std::string& folder,
                                const std::string& name,
                                const std::string& where);

// Each file read once.
class LoraShelf {
 public:
  std::vector<diffusion::LoraUse> uses(const std::vector<LoraChoice>& choices);
  const diffusion::LoraWeights& get(const std::filesystem::path& file) { return *read(file); }

 private:
  std::shared_ptr<const diffusion::LoraWeights> read(const std::filesystem::path& file);
  std::map<std::filesystem::path, std::shared_ptr<const diffusion::LoraWeights>> known_;
};

// "style 0.8", or "style 0.5:0.8" with weights of the text encoder and the UNet.
std::string lora_text(const LoraChoice& choice);
std::string lora_text(const std::vector<LoraChoice>& choices);  // joined by commas

}  // namespace tools
