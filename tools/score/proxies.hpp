#pragma once

// What `laurel bon-curve` selects by: rewards of a file of scores, and aggregates of the members of
// one.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rewards/combine/aggregate.hpp"
#include "rewards/evaluation/best_of.hpp"

namespace tools {

// The images of a file, without those that lack a score that is used.
struct ScoredImages {
  at::Tensor gold;                 // [P] fp64
  std::vector<std::string> names;  // of the columns
  at::Tensor columns;              // [P, C] fp64, raw
  std::vector<int64_t> prompts;    // P
  std::vector<int64_t> members{};  // the columns that are members of one reward
};

// A curve's name and how its selection is scored.
struct Proxy {
  std::string name;
  int64_t column = -1;                            // of a single reward; -1: an aggregate
  const rewards::Aggregate* aggregate = nullptr;  // of the members
};
// "mean,min,aesthetic.1": a name of a column, or else an aggregate's. Throws BadInput for neither,
// and for an aggregate where the file holds no members.
std::vector<Proxy> parse_proxies(const std::string& list, const ScoredImages& images);

// The columns NAME.1, NAME.2, ... of one NAME; `of` names it where the file holds several. Throws
// BadInput that lists them. -> columns; empty where there are none
std::vector<int64_t> member_columns(const std::vector<std::string>& names, const std::string& of);

// The members as a training sees them: minus their prompt's mean, divided by their pooled spread
// within prompts. -> [P, M] fp64
at::Tensor standardised_members(const ScoredImages& images);

// The curve of one proxy. The worst member of a rule that reads gains is chosen at each n, such
// that the rule's objective on the selected images is highest. `options`: the rule's numbers.
std::vector<rewards::BestOfPoint> curve_of(const Proxy& proxy,
                                           const ScoredImages& images,
                                           const rewards::AggregateOptions& options);

}  // namespace tools
