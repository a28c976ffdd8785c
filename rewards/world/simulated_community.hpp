#pragma once

// A simulated community of the built-in world: synthetic data for training and tests. Its people
// see lists of images for a prompt, like and reuse some, and have the biases that logs of real
// communities show. docs/rewards.md describes it.

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rewards/social/log.hpp"

namespace rewards {

struct CommunityOptions {
  int64_t users = 2000;
  int64_t visits_a_prompt = 60;  // lists of images shown for a prompt
  double days = 30;
  double position_bias = 0.7;  // attention at position p: p^-position_bias
  double scroll = 0.9;         // probability of going on to the next position
  double conformity = 0.4;     // added log-odds for each doubling of the displayed popularity
  double own_taste = 0.05;     // standard deviation of a person's threshold, in units of appeal
  double careless = 0.03;      // share of people who act on nearly everything they see
  double rings = 0.02;         // share of people who reuse images of their choice repeatedly
};

// The appeal of images to the three groups of the community, in [0, 1].
//   bold     0.30 fit + 0.20 contrast + 0.20 saturation + 0.15 size + 0.15 clarity    55 %
//   moody    0.30 fit + 0.35 (1 - ground) + 0.20 clarity + 0.15 balance               25 %
//   literal  0.70 fit + 0.30 clarity                                                  20 %
// `fit` is the share of the claims about count, shape and colour that hold
// (rewards/world/oracle_reward); the other parts are those of rewards/world/rater_preference.hpp.
// images: [B, 3, H, W] -> [B, 3]
at::Tensor community_appeals(const at::Tensor& images, const std::vector<std::string>& prompts);
// The mean over the community. appeals: [B, 3] -> [B]
at::Tensor mean_appeal(const at::Tensor& appeals);

// Adds users and events to a log that has prompts and images. appeals: [images, 3]
SocialLog simulate_community(SocialLog log,
                             const at::Tensor& appeals,
                             const CommunityOptions& options,
                             at::Generator& generator);

// Votes on two images of a prompt shown side by side without their popularity, by people who are
// not in the log.
struct SocialVote {
  int64_t prompt = 0, a = 0, b = 0;  // rows of the log's prompts and images
  int64_t votes_a = 0, votes_b = 0;
};
std::vector<SocialVote> survey_community(const SocialLog& log,
                                         const at::Tensor& appeals,
                                         int64_t pairs_a_prompt,
                                         int64_t voters,
                                         const CommunityOptions& options,
                                         at::Generator& generator);

}  // namespace rewards
