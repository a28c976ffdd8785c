#include "rewards/social/reward.hpp"

#include "rewards/scorers/clip_score.hpp"

namespace rewards {

RewardInfo social_info() {
  return {.name = "social",
          .unit = "cosine x 100",
          .low = 0,
          .high = 100,
          .needs_prompt = true,
          .differentiable = true,
          .description = "what a community would like for the prompt (Social Reward's form)"};
}

Reward social_reward(const std::shared_ptr<ClipEmbedder>& clip) {
  return {.info = social_info(), .score = clip_score_reward(clip).score};
}

}  // namespace rewards
