#pragma once

// The best images that a run has drawn of each prompt. An image stays a good example however the
// network changes, so that a method that imitates may choose among new and old ones.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "finetune/forward/online_epoch.hpp"

namespace finetune {

struct RememberedImage {
  at::Tensor latents;  // [C, h, w] clean, fp32 on the CPU
  at::Tensor rewards;  // [M] fp64 raw
  uint64_t seed = 0;
};

struct RememberedImages {
  int64_t each = 0;  // at most, of a prompt; 0: nothing is remembered
  std::map<std::string, std::vector<RememberedImage>> of{};  // a prompt's text; the best first
};

// Images of an epoch's prompts.
struct Candidates {
  at::Tensor latents;               // [Q, C, h, w] clean, on the CPU
  at::Tensor rewards;               // [Q, M] fp64 raw
  std::vector<int64_t> prompt_ids;  // Q: rows of the epoch's prompts
  std::vector<uint64_t> seeds;      // Q
};
// The epoch's P images, and behind them what is remembered of its prompts.
Candidates candidates_of(const DrawnEpoch& epoch, const RememberedImages& memory);

// Keeps the best candidates of each prompt in place of what was kept of it; of equal rewards the
// one that comes first, so that an older one gives way. combined: [Q] fp64; not finite: not kept
void remember(RememberedImages& memory,
              const Candidates& candidates,
              const at::Tensor& combined,
              const std::vector<TrainingPrompt>& prompts);

void save_remembered(const std::filesystem::path& folder, const RememberedImages& memory);
// Throws BadInput for a file that is not of such a run.
void load_remembered(const std::filesystem::path& folder, RememberedImages& memory);

}  // namespace finetune
