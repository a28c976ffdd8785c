#pragma once

// The rewards of a training epoch become the one that is maximised.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "rewards/combine/combine.hpp"

namespace rewards {

// Updates the running moments with one epoch's raw rewards, keeps the means of the first epoch
// where the aggregate reads gains, and takes a step of the multipliers and of learnt weights.
// rewards: [P, M]; prompt_ids: P, or none where no weights are learnt
void observe(CombineState& state,
             const at::Tensor& rewards,
             const CombineOptions& options,
             const std::vector<int64_t>& prompt_ids = {});

// The state as named numbers, for a checkpoint, and back; the spreads are not among them.
std::map<std::string, double> numbers_of(const CombineState& state);
void restore_numbers(CombineState& state,
                     const std::map<std::string, double>& numbers,
                     int64_t rewards,
                     int64_t constraints);

// rewards: [P, M] raw -> [P] fp64 on the CPU; not finite where a part is not. An aggregate that
// compares parts gets them minus their prompt's mean. Where weights are learnt, images that the
// primary did not rate are filled (rewards/combine/learnt_weights.hpp). The constraints' terms are
// added at the end.
at::Tensor combine_rewards(const at::Tensor& rewards,
                           const std::vector<int64_t>& prompt_ids,
                           const CombineState& state,
                           const CombineOptions& options);

// The options for comparing two models: an image's total then depends on no other image.
CombineOptions evaluation_options(CombineOptions options);

}  // namespace rewards
