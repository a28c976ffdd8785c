#include "rewards/social/reward.hpp"

#include "rewards/loader/loader.hpp"
#include "rewards/scorers/clip_score.hpp"

namespace rewards {

Reward social_reward(const std::shared_ptr<ClipEmbedder>& clip) {
  return {.info = kSocialEntry.info, .score = clip_score_reward(clip).score};
}

namespace {

constexpr WeightsOption kSocialWeights{
    .flag = "social",
    .help = "social reward, a CLIP folder",
    .embedded = "rewards/social",
    .missing = "a CLIP trained by `laurel train-reward social`; name its folder (--social FOLDER)"};

}  // namespace

const RewardEntry kSocialEntry{
    .info = {.name = "social",
             .unit = "cosine x 100",
             .low = 0,
             .high = 100,
             .needs_prompt = true,
             .differentiable = true,
             .description = "what a community would like for the prompt (Social Reward's form)"},
    .weights = kSocialWeights,
    .make = [](RewardLoader& loader) {
      return social_reward(
          load_clip_embedder(loader.weights(kSocialWeights), loader.sources().device));
    }};

}  // namespace rewards
