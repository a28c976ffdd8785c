#pragma once

// Caps on a reward's values, and constraints on the mean of a reward. x: [P, M] raw units.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace rewards {

// A reward counts only within these limits (ReFL's hinge caps it at 2).
struct Cap {
  double low, high;  // raw units; infinite where open
};
// "imagereward=..2,aesthetic=4..7" for these names; the others are open. Throws BadInput.
std::vector<Cap> parse_caps(const std::string& text, const std::vector<std::string>& names);
// -> [P, M]; caps: M
at::Tensor capped(const at::Tensor& x, const std::vector<Cap>& caps);

// "clip_score>=25": the mean of a column is to stay on one side of a threshold. "clip_score=25": at
// it. "kl<=20" is passed over: the KL is no reward (finetune/policy/kl_bound.hpp).
struct Constraint {
  int64_t column = 0;
  double sign = 1;  // 1: at least, -1: at most; of an equality 1
  double threshold = 0;
  bool is_equality = false;
};
std::vector<Constraint> parse_constraints(const std::string& text,
                                          const std::vector<std::string>& names);
// One ascent step of each multiplier by s = rate sign (threshold - mean) / spread: projected,
// max(0, l + s); of an equality tanh(artanh(l) + s), in (-1, 1), so that it also pushes back. (Not
// finite rows are left out.)  multipliers: [C]; spreads: [M], the unit in which a violation counts.
// Moskovitz et al., "Confronting reward model overoptimization with constrained RLHF" (2023), eq.
// 5, and its xi-PPO. -> [C]
at::Tensor stepped_multipliers(const at::Tensor& multipliers,
                               const std::vector<Constraint>& constraints,
                               const at::Tensor& x,
                               const at::Tensor& spreads,
                               double rate);
// What the constraints add to each row's total: sum of l sign x / spread. -> [P]
at::Tensor constraint_terms(const at::Tensor& multipliers,
                            const std::vector<Constraint>& constraints,
                            const at::Tensor& x,
                            const at::Tensor& spreads);

}  // namespace rewards
