#include "tools/sample/prompts.hpp"

#include <algorithm>

#include "data/base/error.hpp"

namespace tools {
namespace {

std::vector<data::PromptLine> prompt_lines(const SampleConfig& config) {
  std::vector<data::PromptLine> lines;
  for (const auto& prompt : config.prompt) {
    data::PromptLine line;
    line.prompt = data::checked_prompt(prompt, "--prompt");
    line.where = "--prompt";
    lines.push_back(line);
  }
  if (!config.prompts.empty()) {
    const auto from_file = data::read_prompts(config.prompts);
    lines.insert(lines.end(), from_file.begin(), from_file.end());
  }
  if (lines.empty()) {
    throw data::BadInput(
        "laurel sample: expected a prompt, found none; give -p PROMPT or --prompts FILE");
  }
  return lines;
}

}  // namespace

std::vector<SamplePrompt> read_sample_prompts(const SampleConfig& config) {
  const std::string negative = data::checked_prompt(config.negative_prompt, "--negative_prompt");
  std::vector<SamplePrompt> prompts;
  for (const auto& line : prompt_lines(config)) {
    const TaggedPrompt tagged = take_lora_tags(line.prompt, config.lora_dir, line.where);
    prompts.push_back({line, tagged.prompt, line.negative_prompt.value_or(negative), tagged.loras});
    if (!take_lora_tags(prompts.back().negative_prompt.text, config.lora_dir, line.where)
             .loras.empty())
      throw data::BadInput(line.where +
                           ": expected no <lora:...> tag in the negative prompt, found one; a LoRA "
                           "applies to the whole image: put the tag into the prompt");
  }
  return prompts;
}

std::vector<std::string> unique_texts(const std::vector<SamplePrompt>& prompts) {
  std::vector<std::string> texts;
  for (const auto& prompt : prompts) {
    for (const auto& text : {prompt.prompt.text, prompt.negative_prompt.text}) {
      if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
    }
  }
  return texts;
}

}  // namespace tools
