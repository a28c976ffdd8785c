#include "rewards/pairs/examples_reward.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "rewards/loader/loader.hpp"
#include "rewards/pairs/reward.hpp"

namespace rewards {

Reward examples_reward(const std::shared_ptr<ClipEmbedder>& clip, const Examples& examples) {
  Examples here = examples;
  for (auto* tensor : {&here.axes, &here.centre, &here.like_mean, &here.like_variance,
                       &here.other_mean, &here.other_variance})
    *tensor = tensor->to(clip->device(), at::kFloat);
  const auto score = [clip, here](const RewardBatch& batch) {
    return example_scores(here, clip->images(batch.images).to(at::kFloat))
        .to(batch.images.device());
  };
  return {.info = {.name = "examples",
                   .unit = "log-odds per axis",
                   .low = examples.low,
                   .high = std::max(examples.cap, examples.low + 1e-6),
                   .differentiable = true,
                   .description = "how like a few example pictures an image is"},
          .score = score};
}

namespace {

Reward make_examples_reward(const RewardSpec& spec, RewardLoader& loader) {
  const Examples examples = load_examples(spec.argument);
  const RoomClip opened = clip_of(spec, loader, examples.fingerprint);
  Reward reward = examples_reward(opened.clip, examples);
  reward.info.name = spec.name;
  reward.info.model = opened.description;
  return reward;
}

}  // namespace

const FamilyEntry kExamplesFamily{
    .name = "examples",
    .description = "likeness to pictures by `train-reward examples`, its folder; ;clip=PATH",
    .schemes = {"examples"},
    .settings = {"clip", "act", "antialias", "tokenizer"},
    .reads_clip = true,
    .make = make_examples_reward};

}  // namespace rewards
