#pragma once

// Bradley-Terry with ties (Davidson, "On extending the Bradley-Terry model to accommodate ties in
// paired comparison experiments", JASA 1970, eq. 2.3), the strengths' logarithms being linear in
// features, with a ridge. With z = log strength of a - log strength of b,
//   p(a) = e^(z/2) / S,  p(b) = e^(-z/2) / S,  p(tie) = nu / S,  S = e^(z/2) + e^(-z/2) + nu.
// An answer with a margin m is judged at z - m where a won and at z + m where b won: without ties
// its loss is -log sigmoid(z_winner - z_loser - m), as Wang et al., "Secrets of RLHF in large
// language models, part II" (2024), section 2.2, mean it (rewards/labels/rules.hpp).

#include <ATen/core/Tensor.h>

#include <limits>

namespace rewards {

constexpr int64_t kWonA = 0, kWonB = 1, kTied = 2;

// N answers of P people about F features.
struct Comparisons {
  at::Tensor differences;  // [N, F] fp64: features of a minus those of b
  at::Tensor outcomes;     // [N] int64: kWonA, kWonB or kTied
  at::Tensor may_tie;      // [N] bool: a tie was a possible answer; else nu counts as 0
  at::Tensor people;       // [N] int64 in [0, P)
  at::Tensor weights;      // [N] fp64, >= 0
  int64_t people_count = 1;
  at::Tensor margins{};  // [N] fp64, >= 0, 0 of ties; undefined: all 0
};
// rows: [M] int64
Comparisons rows_of(const Comparisons& all, const at::Tensor& rows);

// The penalties on half the squares of weights.
struct Ridges {
  double shared = 1;  // > 0: of the weights that all people share
  // > 0: of a person's difference from them; infinite: people do not differ
  double own = std::numeric_limits<double>::infinity();
};

struct DavidsonFit {
  at::Tensor shared;  // [F] fp64
  at::Tensor own;     // [P, F] fp64, 0 where ridges.own is infinite
  double log_nu = -std::numeric_limits<double>::infinity();  // -infinity: no answer is a tie
};
DavidsonFit zero_fit(const Comparisons& data);

// z of each answer. -> [N] fp64
at::Tensor margins(const DavidsonFit& fit, const Comparisons& data);
// The negative logarithm of each answer's probability, at its margin. z: [N] -> [N] fp64
at::Tensor answer_losses(const at::Tensor& z, double log_nu, const Comparisons& data);

// The minimum of
//   sum_i w_i loss_i + shared/2 |w|^2 + own/2 sum_p |w_p|^2
// over w, w_p and nu, by Newton's method in fp64 (its steps by conjugate gradients), from `start`.
// The same data give the same bits. nu has no penalty: where every answer that may tie is a tie, it
// grows until the tolerance ends the fit. tolerance: of the gradient's norm, relative to that at
// zero.
DavidsonFit fit_davidson(const Comparisons& data,
                         const Ridges& ridges,
                         const DavidsonFit& start,
                         double tolerance = 1e-10);

}  // namespace rewards
