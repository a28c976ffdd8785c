#pragma once

// How several parts, already scaled and weighted, become one number.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace rewards {

struct AggregateOptions;

struct Aggregate {
  const char* name;  // of --aggregate
  const char* description;
  // In training, parts are centred within prompts first: the rule compares how far each reward
  // stands from what its prompt usually gets, which a sum does not need.
  bool compares_parts = true;
  // Reads AggregateOptions::gains, which only a training has: scoring does not offer it.
  bool reads_gains = false;
  at::Tensor (*apply)(const at::Tensor& parts, const AggregateOptions& options) = nullptr;
};
extern const Aggregate kSum;  // "sum"

struct AggregateOptions {
  const Aggregate* kind = &kSum;
  double temperature = 1.0;  // of soft_min, > 0
  double k = 1.0;            // of mean_std and uncertainty
  double nominal = 0.5;      // of robust: weight of the nominal part, 0 to 1
  // Of robust: what the mean of each part has gained since the first epoch, in the same unit.
  // [M] fp64; undefined: nothing yet
  at::Tensor gains{};
  // The columns of each reward that has members, and of each other one alone. The rule then acts
  // inside each of them, and the results are added. Empty: no reward has members.
  std::vector<std::vector<int64_t>> groups{};
};

// One row each, with unique names.
const std::vector<const Aggregate*>& aggregates();
// Those that a stage offers: all in training, those without `reads_gains` in scoring.
std::vector<std::string> aggregate_names(bool training);
// Throws BadInput that lists the names.
const Aggregate& aggregate_by_name(const std::string& name);

// parts: [P, M] -> [P]. In a group of m columns each part counts m times, because a reward's weight
// is shared by its members: the group's aggregate is on the scale of the whole reward.
at::Tensor aggregate(const at::Tensor& parts, const AggregateOptions& options);

}  // namespace rewards
