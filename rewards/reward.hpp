#pragma once

// What a reward is. This header is all that other folders see of one.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "rewards/combine/aggregate.hpp"

namespace rewards {

struct RewardBatch {
  at::Tensor images;                 // [B, 3, H, W] fp32 in [0, 1]
  std::vector<std::string> prompts;  // B of them; may be empty where no reward needs them
};

// What a reward measures, for tables, checks and galleries.
struct RewardInfo {
  std::string name{};        // "aesthetic": the column's name
  std::string unit{};        // "1-10", "cosine x 100", "kB"
  double low = 0, high = 1;  // the range that its values usually fall in, in raw units
  bool needs_prompt = false;
  bool differentiable = false;  // with respect to the images
  std::string description{};    // one line
  std::string model{};          // what was loaded: layout, sizes, activation; empty: no model
};

// A named axis: a function from images to scores. The caller decides on no-grad.
struct Reward {
  RewardInfo info;
  std::function<at::Tensor(const RewardBatch& batch)>
      score;  // -> [B] fp32, raw units, higher is better
};

// Several axes with weights, optimised as one number.
struct WeightedReward {
  Reward reward;
  double weight = 1;
};

// How raw values are brought to one scale before they are weighted:
//   kNone    raw units, as PRDP's 10 PickScore + 2 HPSv2 + 0.05 aesthetic
//   kRange   (raw - low) / (high - low) of RewardInfo: fixed, comparable across runs
//   kPrompt  (raw - mean) / deviation over the images of the same prompt; 0 where the deviation is
//            below 1e-4
//   kRank    the rank among the images of the same prompt / their number
//   kAll     (raw - mean) / deviation over all the images
//   kFixed   the same with moments that were stored before
enum class Normaliser { kNone, kRange, kPrompt, kRank, kAll, kFixed };
// "none", "range", "prompt", "rank", "all", "fixed"; else BadInput
Normaliser normaliser_by_name(const std::string& name);

// Raw values are capped, their baseline taken off (a delta reward), scaled, weighted, aggregated.
struct CombineOptions {
  Normaliser normaliser = Normaliser::kNone;
  data::AggregateOptions aggregate{};
  std::vector<data::Cap> caps{};   // empty, or M
  data::RunningMoments moments{};  // of kFixed
  at::Tensor baseline{};           // undefined, or [B, M] raw values that earn nothing
};

struct ScoredBatch {
  at::Tensor total;       // [B] the aggregate over m of weight_m normalised_m
  at::Tensor raw;         // [B, M] raw units, in the order of the rewards
  at::Tensor normalised;  // [B, M]
};

// Raw values of every reward. -> [B, M] fp32
at::Tensor score_all(const std::vector<WeightedReward>& rewards, const RewardBatch& batch);

// Combines raw values (raw: [B, M]). kPrompt and kRank need the B prompts of the whole group
// of images that are compared, so score in pieces, join, then combine. Throws c10::Error when sizes
// do not fit.
ScoredBatch combine(const std::vector<WeightedReward>& rewards,
                    const at::Tensor& raw,
                    const std::vector<std::string>& prompts,
                    const CombineOptions& options);

}  // namespace rewards
