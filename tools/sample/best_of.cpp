#include "tools/sample/best_of.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/images/image_io.hpp"
#include "tools/sample/guides/rating.hpp"

namespace tools {

BestCandidate best_candidate(const std::vector<rewards::WeightedReward>& rewards,
                             const at::Tensor& images,
                             const std::string& prompt) {
  if (rewards.empty()) return {};
  const at::NoGradGuard no_grad;
  const at::Tensor pixels = data::from_uint8(data::to_uint8(images));
  const std::vector<std::string> prompts(static_cast<size_t>(images.size(0)), prompt);
  const TotalScores scores = total_scores(rewards, pixels, prompts);
  const int64_t best = scores.total.argmax().item<int64_t>();
  return {.index = best, .scores = scores.raw[best]};
}

}  // namespace tools
