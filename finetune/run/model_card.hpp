#pragma once

// README.md of a run folder, in the form that Hugging Face's Hub reads: the folder can be uploaded
// as it is.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "finetune/run/run_folder.hpp"

namespace finetune {

struct ModelCard {
  RunRecord record;
  std::string command;  // "laurel finetune prdp"
  bool adapter = true;  // a LoRA; false: a whole network
  int64_t updates = 0;
  // Images of the trained model, for the page's gallery: file, relative to the folder, and prompt.
  struct Image {
    std::string file, prompt;
  };
  std::vector<Image> images;
  std::vector<std::pair<std::string, std::string>> figures;  // a row of the table each
  std::string license{};                                     // "": the author is reminded of it
};

// The repository of a snapshot in Hugging Face's cache
// (".../models--owner--name/snapshots/revision", or a file below it): "owner/name"; "" for any
// other path.
std::string hub_repository(const std::string& path);

std::string card_text(const ModelCard& card);

// The first `most` images of a folder of samples inside `run` (samples/step-20), with their
// prompts; none where its scores.jsonl is missing.
std::vector<ModelCard::Image> card_images(const std::filesystem::path& run,
                                          const std::filesystem::path& samples,
                                          size_t most);

}  // namespace finetune
