#pragma once

// The prompt that belongs to an image file.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace tools {

struct PromptSources {
  std::string prompt;  // for every image; wins over all others
  std::filesystem::path
      prompts;  // a prompt file: line i is for image i; wins over what lies beside an image
};

// One prompt for each image: `sources`, else NAME.txt beside it, else its entry in the folder's
// metadata.jsonl
// ({"file_name": .., "text": ..}, as Hugging Face's imagefolder), else the PNG's `parameters`; else
// "". Throws BadInput when the prompt file holds another number of lines than there are images, and
// for bad files.
std::vector<std::string> prompts_of_images(const std::vector<std::filesystem::path>& images,
                                           const PromptSources& sources);

}  // namespace tools
