#pragma once

// Several rewards become the one that is maximised.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace finetune {

// How rewards in different units are made comparable before they are added.
enum class Normalise {
  kNone,    // raw units: the weights carry the units
  kPooled,  // each divided by its spread within prompts, measured once on the starting model
  kPrompt,  // each divided by its standard deviation within the prompt, at least a tenth of the
            // pooled spread
};
Normalise normalise_by_name(const std::string& name);  // "none", "pooled", "prompt"; else BadInput

enum class Aggregate { kSum, kSoftMin };
Aggregate aggregate_by_name(const std::string& name);  // "sum", "soft_min"; else BadInput

struct CombineOptions {
  std::vector<double> weights;  // M, one a reward
  Normalise normalise = Normalise::kNone;
  Aggregate aggregate = Aggregate::kSum;
  double temperature = 1.0;  // of the soft minimum, in units of the (normalised) rewards
};

// [M] fp64: each reward's spread within prompts (1 where it does not vary).  rewards: [P, M]
at::Tensor pooled_spreads(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids);

// rewards: [P, M] raw; spreads: [M] of pooled_spreads, unused by kNone. -> [P] fp64; not finite
// where a part is not.
at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const at::Tensor& spreads,
                           const CombineOptions& options);

// -tau log mean exp(-x / tau) over the last axis: the minimum as tau -> 0, the mean as tau ->
// infinity.  [..., M] -> [...]
at::Tensor soft_min(const at::Tensor& x, double temperature);

}  // namespace finetune
