#pragma once

// Several rewards become the one that is maximised.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "rewards/combine/aggregate.hpp"

namespace finetune {

// How rewards in different units are made comparable before they are added.
enum class Normalise {
  kNone,     // raw units: the weights carry the units
  kPooled,   // each divided by its spread within prompts, measured once on the starting model
  kPrompt,   // each divided by its standard deviation within the prompt, at least a tenth of the
             // pooled spread
  kRank,     // each image's rank among those of its prompt, in (0, 1]
  kRunning,  // standardised by all that the run has seen so far
  kFixed,    // standardised by moments that were measured and stored before
};
// "none", "pooled", "prompt", "rank", "running", "fixed"; else BadInput
Normalise normalise_by_name(const std::string& name);

struct CombineOptions {
  std::vector<double> weights;  // M, one a reward
  Normalise normalise = Normalise::kNone;
  data::AggregateOptions aggregate{};
  std::vector<data::Cap> caps{};                // empty, or M: limits in raw units
  std::vector<data::Constraint> constraints{};  // on the mean of a raw reward
  double constraint_rate = 0.1;                 // of a multiplier, an epoch and a spread missed
  data::RunningMoments fixed{};                 // of kFixed
};

// What a combination has learnt from a run: kept in its checkpoints.
struct CombineState {
  // NOLINTNEXTLINE: the spreads alone are a state before anything else was seen
  CombineState(at::Tensor within_prompts = {}) : spreads(std::move(within_prompts)) {}

  at::Tensor spreads;            // [M] of pooled_spreads
  data::RunningMoments running;  // of kRunning
  at::Tensor multipliers;        // [C] of the constraints; undefined: all 0
};
// Takes one epoch's raw rewards in: the running moments, and a step of the multipliers. [P, M]
void observe(CombineState& state, const at::Tensor& rewards, const CombineOptions& options);

// As named numbers, for a checkpoint, and back; the spreads are not among them.
std::map<std::string, double> numbers_of(const CombineState& state);
void restore_numbers(CombineState& state,
                     const std::map<std::string, double>& numbers,
                     int64_t rewards,
                     int64_t constraints);

// [M] fp64: each reward's spread within prompts (1 where it does not vary).  rewards: [P, M]
at::Tensor pooled_spreads(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids);

// rewards: [P, M] raw. -> [P] fp64; not finite where a part is not. All but a sum compare how far
// each reward stands from what its prompt usually gets: the parts are centred within prompts first,
// unless the normaliser did that.
at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const CombineState& state,
                           const CombineOptions& options);

}  // namespace finetune
