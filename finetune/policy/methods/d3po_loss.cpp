#include "finetune/policy/methods/d3po_loss.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

// The pairs of one prompt.
struct Pairs {
  at::Tensor weights;  // [n, T] of the mean over pairs and steps
  double loss = 0, right = 0;
  int64_t count = 0;
};
// u, clamped: [n, T] with masked steps zero; rewards: [n], finite; mask: [T]
Pairs compare(const at::Tensor& u,
              const at::Tensor& clamped,
              const at::Tensor& rewards,
              const at::Tensor& mask,
              double scale) {
  const at::Tensor better = rewards.unsqueeze(1).gt(rewards.unsqueeze(0));  // [n, n] row wins
  Pairs pairs;
  pairs.count = better.sum().item<int64_t>();
  if (pairs.count == 0) return pairs;
  const at::Tensor margin = scale * (clamped.unsqueeze(1) - clamped.unsqueeze(0));  // [n, n, T]
  const at::Tensor share =
      better.unsqueeze(2).to(at::kDouble) * mask / (static_cast<double>(pairs.count) * mask.sum());
  pairs.loss = -(share * at::log_sigmoid(margin)).sum().item<double>();
  const at::Tensor slope = -scale * share * at::sigmoid(-margin);  // d loss / d (c_i - c_j)
  pairs.weights = (slope.sum(1) - slope.sum(0)) * clamped.eq(u);
  const at::Tensor total = u.sum(1);
  pairs.right = (better * total.unsqueeze(1).gt(total.unsqueeze(0))).sum().item<double>();
  return pairs;
}

MethodGradient d3po_objective(const MethodInput& input, double preference_scale) {
  const double scale = preference_scale / static_cast<double>(input.chain.dimensions);
  const D3poGradient result =
      d3po_gradient(input.now.log_ratio, input.log_ratio_old, input.labels, input.prompt_ids,
                    input.step_mask, scale, input.clip_range);
  return {{result.pairs > 0 ? result.weights : at::Tensor(), {}},
          at::tensor({result.loss, result.clip_fraction, result.accuracy}, at::kDouble)};
}

}  // namespace

D3poGradient d3po_gradient(const at::Tensor& log_ratio,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const at::Tensor& step_mask,
                           double scale,
                           double clip_range) {
  const auto count = static_cast<int64_t>(prompt_ids.size());
  data::check_shape(log_ratio, {count, -1}, "d3po_gradient: log_ratio");
  data::check_shape(log_ratio_old, {count, log_ratio.size(1)}, "d3po_gradient: log_ratio_old");
  data::check_shape(rewards, {count}, "d3po_gradient: rewards");
  data::check_shape(step_mask, {log_ratio.size(1)}, "d3po_gradient: step_mask");
  TORCH_CHECK(scale > 0 && clip_range > 0, "d3po_gradient: scale and clip_range must be > 0, got ",
              scale, " and ", clip_range);
  const at::Tensor mask = step_mask.to(at::kCPU, at::kDouble);
  const at::Tensor u = log_ratio.detach().to(at::kCPU, at::kDouble) * mask;
  const at::Tensor u_old = log_ratio_old.detach().to(at::kCPU, at::kDouble) * mask;
  const at::Tensor clamped = at::minimum(at::maximum(u, u_old - clip_range), u_old + clip_range);
  const at::Tensor reward = rewards.detach().to(at::kCPU, at::kDouble);
  D3poGradient result{.weights = at::zeros_like(u)};
  double prompts = 0, right = 0;
  for (const auto& members : rewards::prompt_groups(reward, prompt_ids)) {
    const at::Tensor rows = at::tensor(members, at::kLong);
    const Pairs pairs = compare(u.index_select(0, rows), clamped.index_select(0, rows),
                                reward.index_select(0, rows), mask, scale);
    if (pairs.count == 0) continue;
    ++prompts;
    result.pairs += pairs.count;
    result.loss += pairs.loss;
    right += pairs.right;
    result.weights.index_copy_(0, rows, pairs.weights);
  }
  result.clip_fraction = (u - u_old).abs().gt(clip_range).sum().item<double>() /
                         std::max(1.0, mask.sum().item<double>() * static_cast<double>(count));
  if (result.pairs == 0) return result;
  result.weights /= prompts;
  result.loss /= prompts;
  result.accuracy = right / static_cast<double>(result.pairs);
  return result;
}

PolicyMethod d3po_method(const D3poConfig& config) {
  return {.name = "d3po",
          .summary = "of each two images the one with the higher reward, at every step",
          .couples_trajectories = true,
          .figures = {"loss", "clipfrac", "pair_accuracy"},
          .clip_range_in_nats = [](double clip_range, const ChainSize&) { return clip_range; },
          .calibrate =
              [](const CalibrationInput& input) {
                return MethodCalibration{beta_of(input), {}};
              },
          .labels = [](const at::Tensor& rewards, const std::vector<int64_t>&) { return rewards; },
          .objective =
              [config](const MethodInput& input) {
                return d3po_objective(input, config.preference_scale);
              }};
}

}  // namespace finetune
