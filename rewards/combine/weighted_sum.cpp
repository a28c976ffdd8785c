#include "rewards/combine/weighted_sum.hpp"

#include <ATen/ATen.h>

#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"

using data::BadInput;

namespace rewards {
namespace {

constexpr double kSmallestDeviation = 1e-4;  // below, a prompt's images count as equal

double parse_weight(const std::string& text, const std::string& where) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
      value == 0) {
    throw BadInput(where + ": expected a number other than 0 as the weight, found '" + text + "'");
  }
  return value;
}

// raw: [B, M] -> [B, M], zero mean and unit deviation (of the population) over the rows of each
// prompt.
at::Tensor normalise_by_prompt(const at::Tensor& raw, const std::vector<std::string>& prompts) {
  TORCH_CHECK(static_cast<int64_t>(prompts.size()) == raw.size(0), "combine: prompts: expected ",
              raw.size(0), ", found ", prompts.size());
  std::map<std::string, std::vector<int64_t>> groups;
  for (size_t i = 0; i < prompts.size(); ++i) groups[prompts[i]].push_back(static_cast<int64_t>(i));
  at::Tensor normalised = at::zeros_like(raw);
  for (const auto& [prompt, members] : groups) {
    const auto rows = at::tensor(members, at::kLong).to(raw.device());
    const auto group = raw.index_select(0, rows);  // [K, M]
    const auto centred = group - group.mean(0, true);
    const auto deviation = centred.square().mean(0, true).sqrt();  // [1, M]
    const auto scaled = centred / deviation.clamp_min(kSmallestDeviation);
    normalised.index_copy_(
        0, rows, at::where(deviation < kSmallestDeviation, at::zeros_like(scaled), scaled));
  }
  return normalised;
}

at::Tensor normalise_by_range(const std::vector<WeightedReward>& rewards, const at::Tensor& raw) {
  std::vector<double> low, span;
  for (const auto& part : rewards) {
    low.push_back(part.reward.info.low);
    span.push_back(part.reward.info.high - part.reward.info.low);
  }
  return (raw - at::tensor(low, raw.options())) / at::tensor(span, raw.options());
}

// x: [B, M], capped and with its baseline taken off -> [B, M]
at::Tensor normalised(const std::vector<WeightedReward>& rewards,
                      const at::Tensor& x,
                      const std::vector<std::string>& prompts,
                      const CombineOptions& options) {
  switch (options.normaliser) {
    case Normaliser::kNone:
      return x;
    case Normaliser::kRange:
      return normalise_by_range(rewards, x);
    case Normaliser::kPrompt:
      return normalise_by_prompt(x, prompts);
    case Normaliser::kRank:
      return data::rank_within(x.cpu(), data::ids_of_texts(prompts)).to(x.options());
    case Normaliser::kAll: {
      data::RunningMoments moments;
      data::update(moments, x.cpu());
      return moments.count > 0 ? data::standardised(moments, x.cpu()).to(x.options()) : x;
    }
    case Normaliser::kFixed:
      return data::standardised(options.moments, x.cpu()).to(x.options());
  }
  TORCH_CHECK(false, "combine: unknown normaliser");
}

}  // namespace

Normaliser normaliser_by_name(const std::string& name) {
  static const std::map<std::string, Normaliser> all = {
      {"none", Normaliser::kNone}, {"range", Normaliser::kRange}, {"prompt", Normaliser::kPrompt},
      {"rank", Normaliser::kRank}, {"all", Normaliser::kAll},     {"fixed", Normaliser::kFixed}};
  const auto found = all.find(name);
  if (found == all.end())
    throw BadInput("normaliser: expected one of none, range, prompt, rank, all, fixed, found '" +
                   name + "'");
  return found->second;
}

at::Tensor score_all(const std::vector<WeightedReward>& rewards, const RewardBatch& batch) {
  std::vector<at::Tensor> columns;
  for (const auto& part : rewards) {
    columns.push_back(part.reward.score(batch).to(batch.images.device(), at::kFloat));
    data::check_shape(columns.back(), {batch.images.size(0)}, part.reward.info.name.c_str());
  }
  return at::stack(columns, 1);
}

ScoredBatch combine(const std::vector<WeightedReward>& rewards,
                    const at::Tensor& raw,
                    const std::vector<std::string>& prompts,
                    const CombineOptions& options) {
  data::check_shape(raw, {-1, static_cast<int64_t>(rewards.size())}, "combine: raw");
  std::vector<double> weights;
  for (const auto& part : rewards) weights.push_back(part.weight);
  at::Tensor x = options.caps.empty() ? raw : data::capped(raw, options.caps);
  if (options.baseline.defined()) {
    const at::Tensor zero = options.baseline.to(raw.options());
    x = x - (options.caps.empty() ? zero : data::capped(zero, options.caps));
  }
  ScoredBatch scored;
  scored.raw = raw;
  scored.normalised = normalised(rewards, x, prompts, options);
  scored.total =
      data::aggregate(scored.normalised * at::tensor(weights, raw.options()), options.aggregate);
  return scored;
}

std::vector<RewardWeight> parse_reward_weights(const std::string& specification) {
  std::vector<RewardWeight> weights;
  std::stringstream parts(specification);
  for (std::string part; std::getline(parts, part, ',');) {
    part.erase(0, part.find_first_not_of(' '));
    part.erase(part.find_last_not_of(' ') + 1);
    const size_t sign = part.find_first_of("=:");
    RewardWeight weight{.name = part.substr(0, sign)};
    const std::string where = "reward '" + part + "'";
    if (weight.name.empty())
      throw BadInput(where + ": expected NAME or NAME=WEIGHT, as in aesthetic=1,clip_score=0.5");
    if (sign != std::string::npos) weight.weight = parse_weight(part.substr(sign + 1), where);
    for (const auto& other : weights) {
      if (other.name == weight.name)
        throw BadInput(where + ": '" + weight.name + "' is given twice; give it once");
    }
    weights.push_back(weight);
  }
  if (weights.empty())
    throw BadInput("rewards: expected at least one NAME or NAME=WEIGHT, found nothing");
  return weights;
}

Reward weighted_sum(const std::vector<WeightedReward>& rewards, Normaliser normaliser) {
  TORCH_CHECK(!rewards.empty(), "weighted_sum: expected at least one reward");
  Reward sum;
  sum.info = {.name = "total",
              .unit = "weighted sum",
              .low = 0,
              .high = 0,
              .differentiable = true,
              .description = ""};
  for (const auto& [part, weight] : rewards) {
    const double low = normaliser == Normaliser::kNone    ? part.info.low
                       : normaliser == Normaliser::kRange ? 0
                                                          : -2;
    const double high = normaliser == Normaliser::kNone    ? part.info.high
                        : normaliser == Normaliser::kRange ? 1
                                                           : 2;
    sum.info.low += std::min(weight * low, weight * high);
    sum.info.high += std::max(weight * low, weight * high);
    sum.info.needs_prompt |= part.info.needs_prompt || normaliser == Normaliser::kPrompt;
    sum.info.differentiable &= part.info.differentiable;
    std::ostringstream term;
    term << (sum.info.description.empty() ? "" : " + ") << weight << " " << part.info.name;
    sum.info.description += term.str();
  }
  sum.score = [rewards, normaliser](const RewardBatch& batch) {
    return combine(rewards, score_all(rewards, batch), batch.prompts, {.normaliser = normaliser})
        .total;
  };
  return sum;
}

}  // namespace rewards
