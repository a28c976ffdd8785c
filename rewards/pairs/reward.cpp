#include "rewards/pairs/reward.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "rewards/loader/loader.hpp"
#include "rewards/loader/members.hpp"
#include "rewards/pairs/files.hpp"
#include "rewards/scorers/clip_family.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr PublishedClip kAnyClip{};

// The scores of the parts. -> [B, K]
at::Tensor part_scores(const std::vector<Reward>& parts, const RewardBatch& batch, at::Device on) {
  std::vector<at::Tensor> columns;
  for (const auto& part : parts) columns.push_back(part.score(batch).to(on, at::kFloat));
  if (columns.empty()) return at::zeros({batch.images.size(0), 0}, at::device(on));
  return at::stack(columns, 1);
}

Taste on_device(Taste taste, at::Device device) {
  for (auto* tensor : {&taste.weight, &taste.score_weight, &taste.bias})
    *tensor = tensor->to(device, at::kFloat);
  for (auto& member : taste.members) member = on_device(member, device);
  return taste;
}

}  // namespace

RoomClip clip_of(const RewardSpec& spec, RewardLoader& loader) {
  const auto named = spec.settings.find("clip");
  if (named == spec.settings.end()) return {loader.clip(), ""};
  const FamilyClip opened = open_family_clip(kAnyClip, named->second, spec, loader.sources());
  return {opened.clip, opened.description};
}

RoomClip clip_of(const RewardSpec& spec, RewardLoader& loader, const at::Tensor& fingerprint) {
  const RoomClip opened = clip_of(spec, loader);
  const at::NoGradGuard no_grad;
  check_same_clip(fingerprint, opened.clip->images(clip_test_image()), spec.argument);
  return opened;
}

Reward taste_reward(const std::shared_ptr<ClipEmbedder>& clip,
                    const Taste& taste,
                    const std::string& person,
                    const std::vector<Reward>& parts) {
  const int64_t row = row_of_person(taste, person);
  Reward reward{.info = {.name = "taste",
                         .unit = "log-odds",
                         .low = taste.low,
                         .high = taste.high,
                         .differentiable = true,
                         .description = "what a person prefers, learnt from choices"},
                .score = {}};
  for (const auto& part : parts) {
    reward.info.needs_prompt = reward.info.needs_prompt || part.info.needs_prompt;
    reward.info.differentiable = reward.info.differentiable && part.info.differentiable;
  }
  const Taste here = on_device(taste, clip->device());
  const std::vector<Taste> fits = here.members.empty() ? std::vector<Taste>{here} : here.members;
  const auto scores = [clip, fits, row, parts](const RewardBatch& batch) {
    const at::Tensor embeddings = clip->images(batch.images).to(at::kFloat),
                     others = part_scores(parts, batch, clip->device());
    std::vector<at::Tensor> columns;
    for (const auto& fit : fits) columns.push_back(taste_scores(fit, row, embeddings, others));
    return at::stack(columns, 1).to(batch.images.device());
  };
  if (fits.size() > 1)
    return ensemble_reward(reward.info, static_cast<int64_t>(fits.size()), scores);
  reward.score = [scores](const RewardBatch& batch) { return scores(batch).squeeze(1); };
  return reward;
}

namespace {

Reward make_pairs_reward(const RewardSpec& spec, RewardLoader& loader);

// A folder of tastes, each of its own CLIP.
Reward make_listed(const std::vector<ListedMember>& members,
                   const RewardSpec& spec,
                   RewardLoader& loader) {
  std::vector<Reward> parts;
  for (const auto& [weights, clip] : members) {
    RewardSpec own = spec;
    own.argument = weights.string();
    if (!clip.empty()) own.settings["clip"] = clip.string();
    parts.push_back(make_pairs_reward(own, loader));
  }
  return ensemble_reward(parts[0].info, parts);
}

Reward make_pairs_reward(const RewardSpec& spec, RewardLoader& loader) {
  const auto members = listed_members(spec.argument);
  if (!members.empty()) return make_listed(members, spec, loader);
  const Taste taste = load_taste(spec.argument);
  const RoomClip opened = clip_of(spec, loader, taste.fingerprint);
  const auto person = spec.settings.find("person");
  Reward reward =
      taste_reward(opened.clip, taste, person == spec.settings.end() ? "" : person->second,
                   loader.make_parts(spec.name, taste.rewards));
  reward.info.name = spec.name;
  reward.info.model = opened.description;
  return reward;
}

}  // namespace

const FamilyEntry kPairsFamily{
    .name = "pairs",
    .description = "a taste by `train-reward pairs`, its folder; ;person=NAME, ;clip=PATH",
    .schemes = {"pairs"},
    .settings = {"person", "clip", "act", "antialias", "tokenizer"},
    .reads_clip = true,
    .parts =
        [](const RewardSpec& spec) {
          const auto members = listed_members(spec.argument);
          return load_taste(members.empty() ? fs::path(spec.argument) : members[0].weights).rewards;
        },
    .make = make_pairs_reward};

}  // namespace rewards
