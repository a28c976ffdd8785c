#pragma once

// Scores image files: decoding runs beside the scoring, in batches of one image size.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rewards/reward.hpp"
#include "tools/score/image_prompts.hpp"

namespace tools {

struct ScoreJob {
  std::filesystem::path path;
  std::optional<std::string> prompt{};  // unset: that of the PNG's own text, else ""
  size_t row = 0;                       // of the caller's results
  std::string prompt_fault{};           // why the caption that is there cannot be read
};
// One job an image, its row the image's position.
std::vector<ScoreJob> jobs_of(const std::vector<std::filesystem::path>& images,
                              const PromptSources& sources);

struct ScoringOptions {
  int64_t batch_size = 16;
  int64_t decode_threads = 2;
  bool need_prompt = false;
  // The caller has all images of a prompt: hooks get measures (rewards/combine/measures.hpp), which
  // rewards that compare images need.
  bool measures = false;
  at::Device device = at::kCPU;
};

struct ScoringHooks {
  // A scored image: its job, whose prompt is set, and its raw values or measures.
  std::function<void(const ScoreJob& job, const std::vector<double>& raw)> scored;
  // An image that cannot be read, or lacks a prompt that is needed.
  std::function<void(const ScoreJob& job, const std::string& fault)> failed;
  // After the scored images of a batch. Empty: nothing is called.
  std::function<void()> batch_done{};
};

// Scores every job once, opening its file once. Images of one size are gathered, out of order,
// among the next few batches' worth. Hooks are called from this thread.
void score_files(std::vector<ScoreJob> jobs,
                 const std::vector<rewards::WeightedReward>& rewards,
                 const ScoringOptions& options,
                 const ScoringHooks& hooks);

}  // namespace tools
