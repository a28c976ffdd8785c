#include "tools/bench/reward_stages.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <memory>

#include "rewards/clip/embedder.hpp"
#include "rewards/scorers/aesthetic.hpp"

namespace bench {
namespace {

constexpr int64_t kRewardBatch = 16;

BenchStage members_stage(const std::string& name,
                         const rewards::Clip& clip,
                         int64_t members,
                         at::Device device) {
  auto generator = at::detail::createCPUGenerator(3);
  const auto embedder = std::make_shared<rewards::ClipEmbedder>(clip, data::Tokenizer{}, device);
  std::vector<rewards::AestheticHead> heads;
  for (int64_t m = 0; m < members; ++m)
    heads.push_back(
        rewards::make_aesthetic(rewards::AestheticForm::kLinearMlp, embedder->width(), generator));
  const rewards::Reward reward = rewards::aesthetic_reward(embedder, heads, "random heads");
  const int64_t side = clip.vision.config.image_size;
  const at::Tensor images = at::full({kRewardBatch, 3, side, side}, 0.5, at::device(device));
  return {name, kRewardBatch, [reward, images] {
            const at::NoGradGuard no_grad;
            reward.score({images.clone(), {}});  // a batch that the embedder has not seen
          }};
}

}  // namespace

std::vector<StagePlan> reward_stages(const rewards::Clip& clip, const StageOptions& options) {
  std::vector<StagePlan> plans;
  for (const auto& [name, members] :
       {std::pair{"aesthetic, 1 member", 1}, std::pair{"aesthetic, 5 members", 5}})
    plans.push_back({name, [=, &clip, device = options.device] {
                       return members_stage(name, clip, members, device);
                     }});
  return plans;
}

}  // namespace bench
