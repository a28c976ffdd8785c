#pragma once

// Where the next update will move a held-out reward, by its correlation within prompts with what is
// trained (rewards/combine/within_prompt.hpp), and how sure that is.

#include <vector>

#include "rewards/combine/within_prompt.hpp"

namespace guard {

using rewards::PromptMoments;
using rewards::within_prompt_moments;

struct PooledCorrelation {
  double value = 0;  // in [-1, 1]; 0 where one of them does not vary
  double error = 0;  // standard error, by a seeded bootstrap over prompts; NaN below 3 prompts
  double bound = 0;  // the correlation is below it with confidence 1 - level; NaN as error
  bool falls() const { return bound < 0; }  // a negative one is proven
};
// sum xy / sqrt(sum xx sum yy) over all prompts. level: in (0, 1)
PooledCorrelation pooled_correlation(const std::vector<PromptMoments>& prompts, double level);

}  // namespace guard
