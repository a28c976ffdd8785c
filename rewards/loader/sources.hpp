#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rewards/reward.hpp"

namespace rewards {

// Limits of rewards that are computed outside this process.
struct ExternalOptions {
  int64_t workers = 1;      // programs at once
  double seconds = 120;     // for the answer about one image (a program), one request (a server)
  double patience = 3600;   // how long a server may fail before the run ends
  double first_wait = 1.0;  // before the first repetition; doubles up to a minute
  bool any_host = false;    // else only servers on this machine
};

// Where rewards take their weights from, and where they compute.
struct RewardSources {
  std::filesystem::path clip{};  // folder of a CLIP in Hugging Face's layout
  std::map<std::string, std::filesystem::path> weights{};  // by WeightsOption::flag
  int64_t jpeg_quality = 95;                               // DDPO's
  at::Device device = at::kCPU;
  std::vector<std::string> definitions{};  // of --define: see reward_spec.hpp
  std::map<std::string, Reward> given{};   // made by the caller; their names come before all others
  std::filesystem::path tokenizer{};       // CLIP's own vocabulary
  ExternalOptions external{};
  std::function<void(const std::string& line)> trace{};  // the tensors that each model file maps to
};

}  // namespace rewards
