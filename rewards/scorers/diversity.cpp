#include "rewards/scorers/diversity.hpp"

#include <ATen/ATen.h>

#include "data/base/error.hpp"
#include "rewards/combine/diversity.hpp"
#include "rewards/loader/loader.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace rewards {
namespace {

at::Tensor refuse_alone(const std::string& name) {
  throw data::BadInput("reward " + name +
                       ": compares the images of a prompt, and this command rates each image "
                       "alone; take another reward, or laurel score, which has the whole group");
}

Reward make_defined_diversity(const RewardSpec& spec, RewardLoader& loader) {
  const FamilyClip opened = open_family_clip({}, spec.argument, spec, loader.sources());
  Reward reward = diversity_reward(opened.clip);
  reward.info.name = spec.name;
  reward.info.model = opened.description;
  reward.score = [name = spec.name](const RewardBatch&) { return refuse_alone(name); };
  return reward;
}

}  // namespace

Reward diversity_reward(const std::shared_ptr<ClipEmbedder>& clip) {
  return {.info = kDiversityEntry.info,
          .score = [](const RewardBatch&) { return refuse_alone(kDiversityEntry.info.name); },
          .group = GroupScore{
              .width = clip->width(),
              .features = [clip](const RewardBatch& batch) { return clip->images(batch.images); },
              .score = image_diversity}};
}

const RewardEntry kDiversityEntry{
    .info = {.name = "diversity",
             .unit = "1 - cosine",
             .low = 0,
             .high = 0.5,
             .needs_prompt = true,
             .compares_images = true,
             .description = "mean distance to the prompt's other images, in CLIP's features "
                            "(Cideron et al. 2024)"},
    .reads_clip = true,
    .make = [](RewardLoader& loader) { return diversity_reward(loader.clip()); }};

const FamilyEntry kDiversityFamily{
    .name = "diversity",
    .description =
        "distance to the prompt's other images in any CLIP's features: its folder or "
        "file",
    .schemes = {"diversity"},
    .settings = {"act", "antialias", "tokenizer"},
    .compares_images = true,
    .make = make_defined_diversity};

}  // namespace rewards
