#pragma once

// The rewards of a training epoch become the one that is maximised.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "rewards/combine/combine.hpp"

namespace rewards {

// Updates the running moments with one epoch's raw rewards, keeps the means of the first epoch
// where the aggregate reads gains, and takes a step of the multipliers. rewards: [P, M]
void observe(CombineState& state, const at::Tensor& rewards, const CombineOptions& options);

// The state as named numbers, for a checkpoint, and back; the spreads are not among them.
std::map<std::string, double> numbers_of(const CombineState& state);
void restore_numbers(CombineState& state,
                     const std::map<std::string, double>& numbers,
                     int64_t rewards,
                     int64_t constraints);

// rewards: [P, M] raw -> [P] fp64 on the CPU; not finite where a part is not. An aggregate that
// compares parts gets them minus their prompt's mean. The constraints' terms are added at the end.
at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const CombineState& state,
                           const CombineOptions& options);

// The options for comparing two models: an image's total then depends on no other image.
CombineOptions evaluation_options(CombineOptions options);

}  // namespace rewards
