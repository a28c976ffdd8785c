#pragma once

// The prompt that belongs to an image file.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/images/png_text.hpp"

namespace tools {

struct PromptSources {
  std::string prompt;             // for every image; comes before all others
  std::filesystem::path prompts;  // a prompt file, line i for image i; comes before NAME.txt
};

// The prompt of each image by the first of: `sources`, NAME.txt beside it, its entry in the
// folder's metadata.jsonl ({"file_name": .., "text": ..}, as Hugging Face's imagefolder). nullopt:
// none of them has one. Throws BadInput when the prompt file has another number of lines than there
// are images, and for bad files.
std::vector<std::optional<std::string>> prompts_beside_images(
    const std::vector<std::filesystem::path>& images, const PromptSources& sources);

// The prompt in a PNG's `parameters` text; nullopt: none.
std::optional<std::string> prompt_in(const data::PngText& text);
// The same of a file; nullopt also where it is not a PNG or is damaged.
std::optional<std::string> prompt_in_png(const std::filesystem::path& image);

// As prompts_beside_images, then the PNG's own text, else "".
std::vector<std::string> prompts_of_images(const std::vector<std::filesystem::path>& images,
                                           const PromptSources& sources);

}  // namespace tools
