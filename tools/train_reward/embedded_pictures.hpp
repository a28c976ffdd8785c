#pragma once

// Pictures as a trained head sees them: CLIP embeddings and other rewards' scores.

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "rewards/clip/embedder.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/reward.hpp"
#include "tools/cli/reward_options.hpp"
#include "tools/score/images.hpp"

namespace tools {

struct EmbeddedPictures {
  at::Tensor embeddings;            // [N, D] fp64 unit norm; of a picture left out: 0
  at::Tensor scores;                // [N, K] fp64
  std::vector<bool> read;           // N
  std::vector<std::string> faults;  // a line for each picture that is left out, naming it
};
// jobs: N, each row once. A picture that cannot be read, and one with a score that is missing, is
// left out. silent: nothing is printed.
EmbeddedPictures embed_pictures(std::vector<ScoreJob> jobs,
                                const std::shared_ptr<rewards::ClipEmbedder>& clip,
                                const std::vector<rewards::WeightedReward>& rewards,
                                const ScoringOptions& options,
                                bool silent = false);

// The CLIP under a head: `embedder` (PATH;act=..;tokenizer=.., any layout that laurel opens), else
// that of `sources`. Throws BadInput when there is none.
std::shared_ptr<rewards::ClipEmbedder> head_clip(const std::string& embedder,
                                                 const rewards::RewardSources& sources);

}  // namespace tools
