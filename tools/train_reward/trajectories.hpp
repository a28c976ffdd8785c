#pragma once

// Chains of a sampler, kept in a folder: what the network saw at every step, what it expected, and
// the end. A file for each prompt, so that a stopped run goes on where it was.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/pipeline/generate.hpp"
#include "rewards/reward.hpp"
#include "rewards/value/chain_files.hpp"

namespace tools {

struct TrajectoryPlan {
  std::vector<std::string> prompts;
  int64_t chains = 8;  // of a prompt
  int64_t seed = 0;
  diffusion::GenerateOptions generate{};  // sampler, guidance, size and micro-batch
};

// The timesteps of the network's calls, T.
std::vector<double> trajectory_timesteps(const diffusion::Pipeline& pipeline,
                                         const TrajectoryPlan& plan);

// Draws the chains of prompts that have no file. Throws BadInput when the folder has chains of
// another plan or model. `advance` is told of each prompt.
void draw_trajectories(const std::filesystem::path& folder,
                       const diffusion::Pipeline& pipeline,
                       const TrajectoryPlan& plan,
                       const std::function<void()>& advance);

// Mapped from the file of a prompt. Throws BadInput for a file that is missing, of other shapes, or
// without what was expected.
rewards::ChainFile read_trajectories(const std::filesystem::path& folder, size_t prompt);

// What the ends of a prompt's chains earn, and, where that is asked for, the pictures that were
// expected on the way.
struct TrajectoryRatings {
  at::Tensor rewards;   // [n] fp64
  at::Tensor expected;  // [n, T] fp64, or undefined
};
// How they are rated. `identity` names the rewards and their weights' files: ratings by others are
// kept apart.
struct TrajectoryRater {
  const diffusion::Pipeline& pipeline;
  const std::vector<rewards::WeightedReward>& rewards;
  std::string identity{};
  int64_t batch_size = 8;
};
// Rates, or reads what an earlier run has rated.
TrajectoryRatings rate_trajectories(const std::filesystem::path& folder,
                                    const TrajectoryPlan& plan,
                                    size_t prompt,
                                    bool with_expected,
                                    const TrajectoryRater& rater);

}  // namespace tools
