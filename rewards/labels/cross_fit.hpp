#pragma once

// Members that vote on labels without having learnt from them. A member that was trained on a wrong
// label defends it, so each one judges only pairs whose images and prompts it never saw.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rewards/labels/selection.hpp"

namespace rewards {

struct CrossFitting {
  int64_t members = 10;  // M, of each fold, > 0
  int64_t folds = 2;     // >= 2
  double ridge = 1;      // > 0, the penalty on half the squares of the weights
  uint64_t seed = 0;     // of what each member learns from
};

struct CrossFit {
  at::Tensor votes;       // [N, M] fp64, logarithms of odds for a; NaN: nobody could judge the pair
  const char* unit = "";  // what stayed together (rewards/pairs/folds.hpp)
};

// A member is Bradley and Terry's model with ties (rewards/pairs/davidson.hpp), linear in features
// that are divided by the root mean square of their differences, fitted to a bootstrap resample of
// the pairs outside of the fold. (The paper shuffles the order of the data, which changes nothing
// in a convex fit.) differences: [N, F] fp64, finite, a minus b; images: the number of images that
// the pairs name. The same arguments give the same bits.
CrossFit cross_fitted_votes(const at::Tensor& differences,
                            const std::vector<LabelledPair>& pairs,
                            int64_t images,
                            const CrossFitting& options);

}  // namespace rewards
