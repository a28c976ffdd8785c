#include "tools/sample/best_of.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/images/image_io.hpp"
#include "rewards/combine/combine.hpp"

namespace tools {

BestCandidate best_candidate(const std::vector<rewards::WeightedReward>& rewards,
                             const at::Tensor& images,
                             const std::string& prompt) {
  if (rewards.empty()) return {};
  const at::NoGradGuard no_grad;
  const at::Tensor pixels = data::from_uint8(data::to_uint8(images));
  const std::vector<std::string> prompts(static_cast<size_t>(images.size(0)), prompt);
  const at::Tensor raw = rewards::score_all(rewards, {.images = pixels, .prompts = prompts}).cpu();
  const at::Tensor total = rewards::combine(raw, {}, rewards::combine_options(rewards)).total;
  const int64_t best = total.argmax().item<int64_t>();
  return {.index = best, .scores = raw[best]};
}

}  // namespace tools
