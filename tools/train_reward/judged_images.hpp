#pragma once

// Judgements from files, as rows of images and prompts that a CLIP embeds.

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "rewards/clip/embedder.hpp"
#include "rewards/judge_student/train.hpp"

namespace tools {

struct JudgedImages {
  rewards::LvlmData data;  // without embeddings
  std::vector<std::filesystem::path> files;
  std::vector<std::string> prompts;
};

rewards::Judgements read_all_judgements(const std::vector<std::string>& files);
// Every axis that is judged, in alphabetical order.
std::vector<std::string> judged_axes(const rewards::Judgements& judgements);

// Split by the prompt itself: 90 % to learn from, 5 % to calibrate on, 5 % to be examined on.
enum class JudgedPart { kTraining, kCalibration, kExam };
JudgedPart part_of_prompt(const std::string& prompt);
std::array<rewards::Judgements, 3> split_judgements(const rewards::Judgements& judgements);

// `digest` names the files that they come from.
JudgedImages judged_images(const rewards::Judgements& judgements,
                           const std::vector<std::string>& axes,
                           const std::string& digest);
// With each image and prompt embedded once; a line of progress.
rewards::LvlmData embedded(const JudgedImages& judged, rewards::ClipEmbedder& clip);

}  // namespace tools
