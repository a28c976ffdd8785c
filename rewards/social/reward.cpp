#include "rewards/social/reward.hpp"

#include "rewards/loader/loader.hpp"
#include "rewards/loader/members.hpp"
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

Reward make_social(RewardLoader& loader) {
  const auto& folder = loader.weights(kSocialWeights);
  const auto members = listed_members(folder);
  if (members.empty()) return social_reward(loader.clip_in(folder));
  std::vector<Reward> parts;
  for (const auto& member : members) parts.push_back(social_reward(loader.clip_in(member.weights)));
  return ensemble_reward(kSocialEntry.info, parts);
}

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
    .make = make_social};

}  // namespace rewards
