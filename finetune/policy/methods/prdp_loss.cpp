#include "finetune/policy/methods/prdp_loss.hpp"

#include <ATen/ATen.h>

#include "data/base/format.hpp"
#include "data/base/shape.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

// One prompt's share of the loss: n trajectories.
struct PromptTerms {
  at::Tensor weights;  // [n, T] d loss / d u
  double loss = 0;
  int64_t pairs = 0;
  double clipped_pairs = 0;  // a count
  double squared_error = 0,
         squared = 0;  // of beta times the prediction, and of the reward differences
};

at::Tensor differences(const at::Tensor& x) {
  return x.unsqueeze(1) - x.unsqueeze(0);
}  // [n] -> [n, n]

// u, u_old: [n, T] fp64, masked steps zero; rewards: [n] fp64, finite.
PromptTerms group_loss(const at::Tensor& u,
                       const at::Tensor& u_old,
                       const at::Tensor& rewards,
                       const PrdpOptions& options) {
  const at::Tensor clipped =
      at::minimum(at::maximum(u, u_old - options.clip_range), u_old + options.clip_range);  // eq. 9
  const at::Tensor reward_difference = differences(rewards);
  const at::Tensor counted =
      reward_difference.gt(0).to(at::kDouble);  // each unordered pair once, ties not at all
  PromptTerms group;
  group.pairs = counted.sum().item<int64_t>();
  if (group.pairs == 0) return group;
  const double pairs = static_cast<double>(group.pairs);
  const at::Tensor predicted = differences(u.sum(1));
  const at::Tensor error = predicted - reward_difference / options.beta;  // eq. 5
  const at::Tensor error_clipped = differences(clipped.sum(1)) - reward_difference / options.beta;
  const at::Tensor square = error.square(), square_clipped = error_clipped.square();
  group.loss =
      (counted * at::maximum(square, square_clipped)).sum().item<double>() / pairs;  // eq. 10
  group.clipped_pairs = (counted * square_clipped.gt(square)).sum().item<double>();
  const at::Tensor share =
      square.gt(square_clipped).to(at::kDouble) + 0.5 * square.eq(square_clipped);
  const at::Tensor slope = 2.0 / pairs * counted * share * error;  // [n, n] d loss / d predicted
  const at::Tensor slope_clipped = 2.0 / pairs * counted * (1.0 - share) * error_clipped;
  const at::Tensor by_sum = slope.sum(1) - slope.sum(0);  // [n] d loss / d sum of u
  const at::Tensor by_clipped =
      slope_clipped.sum(1) - slope_clipped.sum(0);          // [n] d loss / d sum of clipped
  const at::Tensor inside = clipped.eq(u).to(at::kDouble);  // the closed interval
  group.weights = by_sum.unsqueeze(1) + by_clipped.unsqueeze(1) * inside;
  group.squared_error = (counted * (options.beta * error).square()).sum().item<double>();
  group.squared = (counted * reward_difference.square()).sum().item<double>();
  return group;
}

}  // namespace

PrdpGradient prdp_gradient(const at::Tensor& log_ratio,
                           const at::Tensor& log_ratio_old,
                           const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const PrdpOptions& options,
                           const at::Tensor& step_mask) {
  const auto count = static_cast<int64_t>(prompt_ids.size());
  data::check_shape(log_ratio, {count, -1}, "pair_weights: log_ratio");
  data::check_shape(log_ratio_old, {count, log_ratio.size(1)}, "pair_weights: log_ratio_old");
  data::check_shape(rewards, {count}, "pair_weights: rewards");
  TORCH_CHECK(options.beta > 0, "pair_weights: beta must be > 0, got ", options.beta);
  TORCH_CHECK(options.clip_range > 0, "pair_weights: clip_range must be > 0, got ",
              options.clip_range);
  const at::Tensor mask =
      step_mask.defined() ? step_mask.to(at::kDouble) : at::ones({log_ratio.size(1)}, at::kDouble);
  const at::Tensor u = log_ratio.detach().to(at::kCPU, at::kDouble) * mask;
  const at::Tensor u_old = log_ratio_old.detach().to(at::kCPU, at::kDouble) * mask;
  const at::Tensor reward = rewards.detach().to(at::kCPU, at::kDouble);

  PrdpGradient result{at::zeros_like(u), {}};
  PrdpStatistics& statistics = result.statistics;
  double clipped_pairs = 0, squared_error = 0, squared = 0;
  int64_t kept = 0;
  for (const auto& members : rewards::prompt_groups(reward, prompt_ids)) {
    kept += static_cast<int64_t>(members.size());
    const at::Tensor rows = at::tensor(members, at::kLong);
    const PromptTerms group = members.size() < 2
                                  ? PromptTerms{}
                                  : group_loss(u.index_select(0, rows), u_old.index_select(0, rows),
                                               reward.index_select(0, rows), options);
    statistics.degenerate += group.pairs == 0;
    if (group.pairs == 0) continue;
    ++statistics.prompts;
    statistics.pairs += group.pairs;
    statistics.loss += group.loss;
    clipped_pairs += group.clipped_pairs;
    squared_error += group.squared_error;
    squared += group.squared;
    result.weights.index_copy_(0, rows, group.weights * mask);
  }
  statistics.dropped = count - kept;
  const double moved = ((u - u_old).abs() > options.clip_range).sum().item<double>();
  statistics.clip_fraction =
      moved / std::max(1.0, mask.sum().item<double>() * static_cast<double>(count));
  if (statistics.prompts == 0) return result;
  result.weights /= static_cast<double>(statistics.prompts);
  statistics.loss /= static_cast<double>(statistics.prompts);
  statistics.clipped_pairs = clipped_pairs / static_cast<double>(statistics.pairs);
  statistics.explained_variance = 1.0 - squared_error / squared;
  return result;
}

double beta_from_mean_units(double beta, int64_t steps, int64_t dimensions) {
  return beta / static_cast<double>(steps * dimensions);
}
double clip_range_from_mean_units(double clip_range, int64_t dimensions) {
  return clip_range * static_cast<double>(dimensions);
}
double beta_to_mean_units(double beta_nat, int64_t steps, int64_t dimensions) {
  return beta_nat * static_cast<double>(steps * dimensions);
}
double clip_range_to_mean_units(double clip_range_nat, int64_t dimensions) {
  return clip_range_nat / static_cast<double>(dimensions);
}

namespace {

MethodCalibration calibrate(const CalibrationInput& input, bool mean_units) {
  const auto& [steps, dimensions] = input.chain;
  const double beta = mean_units && input.beta > 0
                          ? beta_from_mean_units(input.beta, steps, dimensions)
                          : beta_of(input);
  return {
      beta,
      {data::formatted("beta %.4g a nat (%.4g in the paper's mean units): the reward spreads by "
                       "%.4g within a prompt; the optimum lies about %.3g nats from the start",
                       beta, beta_to_mean_units(beta, steps, dimensions), input.spread,
                       kl_for_beta(input.spread, beta)),
       data::formatted("clip range %.4g nats a step (%.4g in the paper's mean units)",
                       input.clip_range, clip_range_to_mean_units(input.clip_range, dimensions))}};
}

MethodGradient prdp_objective(const MethodInput& input) {
  const auto [weights, statistics] =
      prdp_gradient(input.now.log_ratio, input.log_ratio_old, input.labels, input.prompt_ids,
                    {input.beta * input.kl_factor, input.clip_range}, input.step_mask);
  return {{statistics.pairs > 0 ? weights : at::Tensor(), {}},
          at::tensor({statistics.loss, statistics.clip_fraction, statistics.clipped_pairs,
                      statistics.explained_variance, static_cast<double>(statistics.degenerate),
                      static_cast<double>(statistics.dropped)},
                     at::kDouble)};
}

}  // namespace

PolicyMethod prdp_method(const PrdpConfig& config) {
  return {
      .name = "prdp",
      .summary = "proximal reward difference prediction",
      .couples_trajectories = true,
      .figures = {"loss", "clipfrac", "clipped_pairs", "explained_variance", "degenerate_prompts",
                  "dropped"},
      .clip_range_in_nats =
          [config](double clip_range, const ChainSize& chain) {
            return config.mean_units ? clip_range_from_mean_units(clip_range, chain.dimensions)
                                     : clip_range;
          },
      .calibrate =
          [config](const CalibrationInput& input) { return calibrate(input, config.mean_units); },
      .labels = [](const at::Tensor& rewards, const std::vector<int64_t>&) { return rewards; },
      .objective = prdp_objective,
      .with_kl_coefficient = [config](double) { return prdp_method(config); }};
}

}  // namespace finetune
