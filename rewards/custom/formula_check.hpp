#pragma once

// Whether a formula tells pictures apart, by its values on some of them. (Text2Reward of Xie et al.
// 2023 and Language to Rewards of Yu et al. 2023 run a written reward before they use it.)

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "rewards/custom/expression.hpp"

namespace rewards {

// Limits of formula_fault.
constexpr double kMostNotFinite = 0.2;      // of the pictures
constexpr double kLargestTermShare = 0.95;  // of the terms' variances

// Var(term) / sum of Var over the terms of a formula, over the pictures where every term is finite;
// all 0 where none varies.  values: one [B] for each of expression.names -> one for each term
std::vector<double> term_shares(const Expression& expression,
                                const std::vector<at::Tensor>& values);

// Why the formula is of no use on these pictures; "": none of the following. More than a fifth of
// its values are not finite; it is equal on all pictures (to 1e-6 of its size); of two or more
// terms that vary by the pictures, one has more than 95 % of the variance.
// values: one [B], B >= 2, for each of expression.names
std::string formula_fault(const Expression& expression, const std::vector<at::Tensor>& values);

}  // namespace rewards
