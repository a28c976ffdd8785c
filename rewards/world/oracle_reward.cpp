#include "rewards/world/oracle_reward.hpp"

#include <ATen/ATen.h>

#include "data/world/match.hpp"
#include "data/world/oracle.hpp"

namespace rewards {
namespace {

bool belongs(const world::Claim& claim, OraclePart part) {
  using world::ClaimKind;
  const bool object = claim.kind == ClaimKind::kCount || claim.kind == ClaimKind::kKind ||
                      claim.kind == ClaimKind::kColour || claim.kind == ClaimKind::kAbsent;
  return part == OraclePart::kAll || object == (part == OraclePart::kObjects);
}

RewardInfo info_of(OraclePart part) {
  RewardInfo info{.name = "oracle", .unit = "share", .low = 0, .high = 1, .needs_prompt = true};
  if (part == OraclePart::kObjects) {
    info.name = "oracle_objects";
    info.description = "teacher: share of the claims about number, shape and colour that hold";
  } else if (part == OraclePart::kLayout) {
    info.name = "oracle_layout";
    info.description = "gold beside that teacher: size, place, relation and background";
  } else {
    info.description = "gold: share of the caption's claims that hold (built-in world only)";
  }
  return info;
}

}  // namespace

at::Tensor claim_shares(const at::Tensor& images,
                        const std::vector<std::string>& prompts,
                        OraclePart part) {
  const int64_t count = images.size(0);
  TORCH_CHECK(static_cast<int64_t>(prompts.size()) == count,
              "oracle: expected a prompt for each of ", count, " images, got ", prompts.size());
  const auto pixels = images.detach().to(at::kCPU, at::kFloat);
  std::vector<float> shares;
  for (int64_t i = 0; i < count; ++i) {
    auto claims = world::parse_caption(prompts[static_cast<size_t>(i)]);
    std::erase_if(claims, [&](const world::Claim& claim) { return !belongs(claim, part); });
    shares.push_back(
        claims.empty()
            ? 1.0f
            : static_cast<float>(world::match(claims, world::read_scene(pixels[i])).fraction));
  }
  return at::tensor(shares, at::kFloat).to(images.device());
}

Reward oracle_part_reward(OraclePart part) {
  return {.info = info_of(part), .score = [part](const RewardBatch& batch) {
            return claim_shares(batch.images, batch.prompts, part);
          }};
}

Reward oracle_reward() { return oracle_part_reward(OraclePart::kAll); }

const RewardEntry kOracleEntry{
    .info = info_of(OraclePart::kAll), .is_gold = true, .make = [](RewardLoader&) {
      return oracle_part_reward(OraclePart::kAll);
    }};
const RewardEntry kOracleObjectsEntry{
    .info = info_of(OraclePart::kObjects), .is_gold = true, .make = [](RewardLoader&) {
      return oracle_part_reward(OraclePart::kObjects);
    }};
const RewardEntry kOracleLayoutEntry{
    .info = info_of(OraclePart::kLayout), .is_gold = true, .make = [](RewardLoader&) {
      return oracle_part_reward(OraclePart::kLayout);
    }};

}  // namespace rewards
