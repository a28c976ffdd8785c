#pragma once

// The prompts of `laurel sample`, read once.

#include <string>
#include <vector>

#include "data/text/prompt_file.hpp"
#include "tools/cli/lora_choice.hpp"
#include "tools/sample/options.hpp"

namespace tools {

struct SamplePrompt {
  data::PromptLine line;          // as it was written, with the settings of its line
  std::string text;               // without its <lora:...> tags
  std::string negative_prompt;    // its line's, else the command's
  std::vector<LoraChoice> loras;  // of its tags
  int64_t chunks = 1;             // of its longer text, with --prompt_weighting
};

// The prompts of the command line, then those of the file. Throws BadInput when there are none, for
// a tag that names no LoRA, and for a tag in a negative prompt.
std::vector<SamplePrompt> read_sample_prompts(const SampleConfig& config);

// Their texts and negative prompts, each once, in order.
std::vector<std::string> unique_texts(const std::vector<SamplePrompt>& prompts);

}  // namespace tools
