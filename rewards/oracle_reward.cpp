#include "rewards/oracle_reward.hpp"

#include <ATen/ATen.h>

#include "data/scene/oracle.hpp"

namespace rewards {
namespace {

at::Tensor match_fractions(const RewardBatch& batch) {
  const int64_t count = batch.images.size(0);
  TORCH_CHECK(static_cast<int64_t>(batch.prompts.size()) == count,
              "oracle: expected a prompt for each of ", count, " images, got ",
              batch.prompts.size());
  const auto images = batch.images.detach().to(at::kCPU, at::kFloat);
  std::vector<float> fractions;
  for (int64_t i = 0; i < count; ++i) {
    const auto match = scene::caption_match(images[i], batch.prompts[static_cast<size_t>(i)]);
    fractions.push_back(static_cast<float>(match.fraction));
  }
  return at::tensor(fractions, at::kFloat).to(batch.images.device());
}

}  // namespace

Reward oracle_reward() {
  return {.info = {.name = "oracle",
                   .unit = "share",
                   .low = 0,
                   .high = 1,
                   .needs_prompt = true,
                   .description =
                       "gold: share of the caption's claims that hold (built-in world only)"},
          .score = match_fractions};
}

}  // namespace rewards
