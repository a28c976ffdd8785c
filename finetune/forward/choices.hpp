#pragma once

// People's choices between images in files, as latents.

#include <filesystem>
#include <string>
#include <vector>

#include "finetune/forward/config.hpp"
#include "finetune/task/training_task.hpp"

namespace finetune {

// What a person said of two images of a prompt, or of one.
struct ImageChoice {
  std::string prompt;
  std::filesystem::path a, b;  // b empty: of a alone
  double p = 1;                // that a is preferred; of one image: that it is liked
  double weight = 1;           // > 0
  double margin = 0;           // >= 0: logits by which the preferred image is to lead
  int64_t score = 0;           // that its prompt asks for (finetune/run/score_prompt.hpp); 0: none
};

// The middle square of an image at the task's size. -> [3, H, W] in [0, 1]. Throws BadInput for an
// image that is missing or damaged, naming it.
at::Tensor choice_image(const TrainingTask& task, const std::filesystem::path& file);

struct ChoiceData {
  std::vector<ImageChoice> choices;
  std::vector<int64_t> a, b;  // of each choice: rows of `latents`; b -1: none
  at::Tensor latents;  // [N, C, h, w] fp16 on the CPU: the means of the autoencoder's Gaussian
};

// Reads each image once. Throws BadInput as choice_image, and when there are no choices.
ChoiceData encode_choices(const TrainingTask& task,
                          const std::vector<ImageChoice>& choices,
                          int64_t batch,
                          const Reporter& reporter);

// Some choices as rows: two of each pair, one of a single image.
struct ChoiceBatch {
  std::vector<TrainingPrompt> prompts;  // of each row
  at::Tensor latents;                   // [R, C, h, w] fp32 on the CPU
  std::vector<int64_t> groups;          // R: rows of one pair share their noise
  ForwardLabels labels;
};
ChoiceBatch choice_batch(const ChoiceData& data, const std::vector<int64_t>& chosen);

}  // namespace finetune
