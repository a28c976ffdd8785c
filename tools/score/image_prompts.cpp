#include "tools/score/image_prompts.hpp"

#include "data/base/error.hpp"
#include "data/images/generation_parameters.hpp"
#include "data/text/prompt_file.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

std::vector<std::optional<data::Caption>> prompts_from_file(const fs::path& path, size_t images) {
  std::vector<std::optional<data::Caption>> prompts;
  for (const auto& line : data::read_prompts(path))
    prompts.push_back(data::Caption{.text = line.prompt});
  if (prompts.size() != images) {
    throw BadInput(path.string() + ": expected a prompt for each of " + std::to_string(images) +
                   " images (sorted by name), found " + std::to_string(prompts.size()) +
                   "; use --prompt for one prompt for all");
  }
  return prompts;
}

}  // namespace

std::vector<std::optional<data::Caption>> prompts_beside_images(const std::vector<fs::path>& images,
                                                                const PromptSources& sources) {
  if (!sources.prompt.empty()) {
    const data::Caption prompt{.text = data::checked_prompt(sources.prompt, "--prompt")};
    return std::vector<std::optional<data::Caption>>(images.size(), prompt);
  }
  if (!sources.prompts.empty()) return prompts_from_file(sources.prompts, images.size());
  data::Captions captions;
  std::vector<std::optional<data::Caption>> prompts;
  for (const auto& image : images) prompts.push_back(captions.beside(image));
  return prompts;
}

std::optional<std::string> prompt_in(const data::PngText& text) {
  const auto found = text.find("parameters");
  if (found == text.end()) return std::nullopt;
  const std::string prompt = data::split_parameters(found->second).prompt;
  return prompt.empty() ? std::nullopt : std::optional(prompt);
}

std::vector<data::Caption> prompts_of_images(const std::vector<fs::path>& images,
                                             const PromptSources& sources) {
  const auto beside = prompts_beside_images(images, sources);
  std::vector<data::Caption> prompts;
  for (size_t i = 0; i < images.size(); ++i)
    prompts.push_back(beside[i] ? *beside[i] : data::caption_in_png(images[i]));
  return prompts;
}

}  // namespace tools
