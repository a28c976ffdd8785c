#pragma once

// Rating files: decoding beside the rating, in batches of one size.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace tools {

struct ScoringOptions {
  int64_t batch_size = 16;
  int64_t decode_threads = 2;
  bool need_prompt = false;
  at::Device device = at::kCPU;
};

struct ScoringHooks {
  // An image is rated: its place among the files, its raw values.
  std::function<void(size_t index, const std::vector<double>& raw)> rated;
  // It cannot be read, or lacks a prompt that is needed.
  std::function<void(size_t index, const std::string& fault)> failed;
};

// Rates every file once. Images of one size are gathered, out of order, among the next few batches'
// worth; hooks are called from this thread. prompts: one a file.
void score_files(const std::vector<std::filesystem::path>& files,
                 const std::vector<std::string>& prompts,
                 const std::vector<rewards::WeightedReward>& rewards,
                 const ScoringOptions& options,
                 const ScoringHooks& hooks);

}  // namespace tools
