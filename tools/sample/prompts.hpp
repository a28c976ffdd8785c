#pragma once

// Reads the prompts of `laurel sample`.

#include <string>
#include <vector>

#include "data/text/prompt_file.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "tools/cli/lora_choice.hpp"
#include "tools/sample/options.hpp"

namespace tools {

struct SamplePrompt {
  data::PromptLine line;              // as written, with the settings of the line
  diffusion::Prompt prompt;           // without its <lora:...> tags
  diffusion::Prompt negative_prompt;  // of the line, else of the command
  std::vector<LoraChoice> loras;      // of the tags
};

// The prompts of the command line, then those of the file. Throws BadInput when there are none, for
// a tag of an unknown LoRA, and for a tag in a negative prompt.
std::vector<SamplePrompt> read_sample_prompts(const SampleConfig& config);

// The distinct texts and negative prompts, in order.
std::vector<std::string> unique_texts(const std::vector<SamplePrompt>& prompts);

}  // namespace tools
