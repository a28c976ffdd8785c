#pragma once

// Several rewards become one number: capped, brought to one scale, weighted, aggregated.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rewards/combine/aggregate.hpp"
#include "rewards/combine/learnt_weights.hpp"
#include "rewards/combine/limits.hpp"
#include "rewards/combine/normalisers.hpp"
#include "rewards/reward.hpp"

namespace rewards {

struct CombineOptions {
  std::vector<double> weights{};      // M, one a reward
  std::vector<RewardRange> ranges{};  // M, of "range"
  const Normaliser* normaliser = &kRawUnits;
  AggregateOptions aggregate{};
  std::vector<Cap> caps{};                // empty, or M
  RunningMoments statistics{};            // of "fixed"
  at::Tensor baseline{};                  // undefined, or [B, M] raw values that earn nothing
  std::vector<Constraint> constraints{};  // training: on the mean of a raw reward
  double constraint_rate = 0.1;  // training: of a multiplier, per epoch and spread of violation
  WeightLearning learning{};     // training: of weights that multiply `weights`
};
// The columns of each reward, in their order: those of a reward's members stand together. Empty
// when no reward is a member.
std::vector<std::vector<int64_t>> member_groups(const std::vector<WeightedReward>& rewards);
// The weights, ranges and groups of these rewards; raw units, summed.
CombineOptions combine_options(const std::vector<WeightedReward>& rewards);

// What a combination has learnt from a run; kept in its checkpoints.
struct CombineState {
  // NOLINTNEXTLINE: the spreads alone are a state before anything else was seen
  CombineState(at::Tensor within_prompts = {}) : spreads(std::move(within_prompts)) {}

  at::Tensor spreads;      // [M] of pooled_spreads
  RunningMoments running;  // of "running"
  at::Tensor multipliers;  // [C] of the constraints; undefined: all 0
  at::Tensor start;        // [M] mean raw rewards of the first epoch, for gains; undefined: none
  at::Tensor weights;      // [M] learnt; undefined: starting_weights
  at::Tensor highest;      // [M] caps of proxy_points; undefined: none
};

// The weights of the rewards, times those that were learnt, if any are. -> [M] fp64
at::Tensor weights_now(const CombineOptions& options, const CombineState& state);

struct ScoredBatch {
  at::Tensor total;       // [B] the aggregate over m of weight_m normalised_m
  at::Tensor raw;         // [B, M] raw units, in the order of the rewards
  at::Tensor normalised;  // [B, M]
  at::Tensor parts;       // [B, M] normalised, weighted
};

// Raw values of every reward. -> [B, M] fp32 on the device of the images
at::Tensor score_all(const std::vector<WeightedReward>& rewards, const RewardBatch& batch);

// raw: [B, M], any floating type. prompt_ids: B, equal for images of one prompt; a normaliser that
// compares a prompt's images needs the whole group of them, so score in pieces, join, then combine.
// Other normalisers take an empty one. Throws c10::Error when sizes do not fit.
ScoredBatch combine(const at::Tensor& raw,
                    const std::vector<int64_t>& prompt_ids,
                    const CombineOptions& options,
                    const CombineState& state = {});

}  // namespace rewards
