#pragma once

// How several parts, already scaled and weighted, become one number.

#include <ATen/core/Tensor.h>

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
  at::Tensor (*apply)(const at::Tensor& parts, const AggregateOptions& options) = nullptr;
};
extern const Aggregate kSum;  // "sum"

struct AggregateOptions {
  const Aggregate* kind = &kSum;
  double temperature = 1.0;  // of soft_min, > 0
  double k = 1.0;            // of mean_std and uncertainty
};

// One row each, with unique names.
const std::vector<const Aggregate*>& aggregates();
std::vector<std::string> aggregate_names();
// Throws BadInput that lists the names.
const Aggregate& aggregate_by_name(const std::string& name);

// parts: [P, M] -> [P]
at::Tensor aggregate(const at::Tensor& parts, const AggregateOptions& options);

}  // namespace rewards
