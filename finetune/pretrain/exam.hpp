#pragma once

// What a network in training can do: samples of fixed prompts and seeds, judged by the world's
// oracle.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "diffusion/pipeline/pipeline.hpp"

namespace finetune {

struct ExamOptions {
  int64_t num_inference_steps = 25;  // DDIM, eta 0; of a flow Euler's, which is the same
  double guidance_scale = 4.0;
  int64_t seed = 0;  // image i draws from a generator seeded with seed + i
  int64_t num_workers = 2;
};

// -> [B, 3, H, W] in [0, 1] at the network's native size, one image a prompt.
at::Tensor sample_prompts(const diffusion::Pipeline& pipeline,
                          const std::vector<std::string>& prompts,
                          const ExamOptions& options);

struct ExamSet {
  std::string name;  // "seen"
  std::vector<std::string> prompts;
};
struct ExamResult {
  at::Tensor images;    // [B, 3, H, W]
  double exact = 0;     // fraction of images in which every claim of their caption holds
  double fraction = 0;  // of claims that hold, mean over images
};
ExamResult examine(const diffusion::Pipeline& pipeline,
                   const ExamSet& set,
                   const ExamOptions& options);

// `count` captions of each split of the built-in world, the same for every call.
std::vector<ExamSet> world_exams(int64_t count);

}  // namespace finetune
