#include "rewards/value/explained.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace rewards {
namespace {

// Of one prompt's images, both centred.
struct CentredProducts {
  double xx = 0, xy = 0, yy = 0;
};

CentredProducts products_of(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor a = x - x.mean(), b = y - y.mean();
  return {a.dot(a).item<double>(), a.dot(b).item<double>(), b.dot(b).item<double>()};
}

}  // namespace

Interval explained_within_prompts(const at::Tensor& ratings,
                                  const at::Tensor& rewards,
                                  const std::vector<int64_t>& prompt_ids) {
  const auto count = static_cast<int64_t>(prompt_ids.size());
  data::check_shape(ratings, {count}, "explained_within_prompts: ratings");
  data::check_shape(rewards, {count}, "explained_within_prompts: rewards");
  const at::Tensor x = ratings.to(at::kCPU, at::kDouble), y = rewards.to(at::kCPU, at::kDouble);
  std::vector<CentredProducts> prompts;
  for (const auto& members : prompt_groups(x + y, prompt_ids)) {
    if (members.size() < 2) continue;
    const at::Tensor rows = at::tensor(members, at::kLong);
    prompts.push_back(products_of(x.index_select(0, rows), y.index_select(0, rows)));
  }
  TORCH_CHECK(!prompts.empty(), "explained_within_prompts: expected a prompt with two images");
  return bootstrap(prompts.size(), [&](const std::vector<size_t>& drawn) {
    CentredProducts sum;
    for (const size_t i : drawn) {
      sum.xx += prompts[i].xx;
      sum.xy += prompts[i].xy;
      sum.yy += prompts[i].yy;
    }
    return sum.xy > 0 && sum.xx > 0 && sum.yy > 0 ? sum.xy * sum.xy / (sum.xx * sum.yy) : 0.0;
  });
}

}  // namespace rewards
