#pragma once

// Judgements from files, with the images and prompts that they refer to by row.

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "rewards/clip/embedder.hpp"
#include "rewards/judge_student/train.hpp"

namespace tools {

struct JudgedImages {
  rewards::StudentData data;  // without embeddings
  std::vector<std::filesystem::path> files;
  std::vector<std::string> prompts;
};

rewards::Judgements read_all_judgements(const std::vector<std::string>& files);
// All judged axes, in alphabetical order.
std::vector<std::string> judged_axes(const rewards::Judgements& judgements);

// Split by a hash of the prompt: 90 % training, 5 % calibration, 5 % test.
enum class JudgedPart { kTraining, kCalibration, kTest };
JudgedPart part_of_prompt(const std::string& prompt);
std::array<rewards::Judgements, 3> split_judgements(const rewards::Judgements& judgements);

// `digest`: of the files of the judgements.
JudgedImages judged_images(const rewards::Judgements& judgements,
                           const std::vector<std::string>& axes,
                           const std::string& digest);
// Embeds each image and prompt once and shows progress.
rewards::StudentData embedded(const JudgedImages& judged, rewards::ClipEmbedder& clip);

}  // namespace tools
