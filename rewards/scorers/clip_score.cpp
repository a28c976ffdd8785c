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

namespace {

RewardInfo clip_score_info(const std::string& name, const std::string& description) {
  return {.name = name,
          .unit = "cosine x 100",
          .low = 0,
          .high = 100,
          .needs_prompt = true,
          .differentiable = true,
          .description = description};
}

constexpr WeightsOption kJudgeClipWeights{
    .flag = "judge_clip",
    .help = "second CLIP, of clip_score@judge: a folder",
    .embedded = "rewards/judge_clip",
    .missing = "a CLIP that nothing is trained on; name its folder (--judge_clip FOLDER)"};

}  // namespace

const RewardEntry kClipScoreEntry{
    .info = clip_score_info("clip_score",
                            "how well CLIP finds the prompt in the image (Hessel et al. 2021)"),
    .reads_clip = true,
    .name_in_formulas = "clip",
    .make = [](RewardLoader& loader) { return clip_score_reward(loader.clip()); }};

const RewardEntry kJudgeClipScoreEntry{
    .info = clip_score_info("clip_score@judge", "clip_score by a second CLIP, of other weights"),
    .weights = kJudgeClipWeights,
    .make = [](RewardLoader& loader) {
      const auto clip =
          load_clip_embedder(loader.weights(kJudgeClipWeights), loader.sources().device);
      return Reward{.info = kJudgeClipScoreEntry.info, .score = clip_score_reward(clip).score};
    }};

}  // namespace rewards
