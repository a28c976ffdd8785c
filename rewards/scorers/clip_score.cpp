#include "rewards/scorers/clip_score.hpp"

#include <ATen/ATen.h>

#include "rewards/loader/loader.hpp"

namespace rewards {

at::Tensor clip_score(const at::Tensor& images, const at::Tensor& texts) {
  return 100 * (images * texts).sum(1);
}

Reward clip_score_reward(const std::shared_ptr<ClipEmbedder>& clip) {
  const auto score = [clip](const RewardBatch& batch) {
    TORCH_CHECK(static_cast<int64_t>(batch.prompts.size()) == batch.images.size(0),
                "clip_score: expected a prompt for each of ", batch.images.size(0), " images, got ",
                batch.prompts.size());
    const auto similarity = clip_score(clip->images(batch.images), clip->texts(batch.prompts));
    return similarity.to(batch.images.device());
  };
  return {.info = kClipScoreEntry.info, .score = score};
}

const RewardEntry kClipScoreEntry{
    .info = {.name = "clip_score",
             .unit = "cosine x 100",
             .low = 0,
             .high = 100,
             .needs_prompt = true,
             .differentiable = true,
             .description = "how well CLIP finds the prompt in the image (Hessel et al. 2021)"},
    .reads_clip = true,
    .name_in_formulas = "clip",
    .make = [](RewardLoader& loader) { return clip_score_reward(loader.clip()); }};

}  // namespace rewards
