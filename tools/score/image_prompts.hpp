#pragma once

// The prompt that belongs to an image file.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/images/captions.hpp"
#include "data/images/formats/png_text.hpp"

namespace tools {

struct PromptSources {
  std::string prompt;             // for every image; comes before all others
  std::filesystem::path prompts;  // a prompt file, line i for image i; comes before NAME.txt
};

// The prompt of each image by the first of: `sources`, its caption beside it
// (data/images/captions.hpp). nullopt: none of them has one. Throws BadInput when the prompt file
// has another number of lines than there are images, and for a damaged list of captions.
std::vector<std::optional<data::Caption>> prompts_beside_images(
    const std::vector<std::filesystem::path>& images, const PromptSources& sources);

// The prompt in a PNG's `parameters` text; nullopt: none.
std::optional<std::string> prompt_in(const data::PngText& text);

// As prompts_beside_images, then the PNG's own text, else an empty one.
std::vector<data::Caption> prompts_of_images(const std::vector<std::filesystem::path>& images,
                                             const PromptSources& sources);

}  // namespace tools
