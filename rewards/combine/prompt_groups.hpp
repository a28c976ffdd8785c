#pragma once

// Which rows belong to one prompt, and how far their rewards spread.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace rewards {

// The rows of each group, in the order of their ids.
std::vector<std::vector<int64_t>> rows_of_groups(const std::vector<int64_t>& ids);
// Equal texts get equal ids, numbered in order of first appearance.
std::vector<int64_t> ids_of_texts(const std::vector<std::string>& texts);

// The rows of each prompt, in order of first appearance, without rows whose reward is not finite.
// rewards: [P]; prompt_ids: P
std::vector<std::vector<int64_t>> prompt_groups(const at::Tensor& rewards,
                                                const std::vector<int64_t>& prompt_ids);

// Root mean square, over the prompts with at least two images, of the rewards' standard deviation
// within a prompt; 0 without such a prompt. rewards: [P]; prompt_ids: P
double spread_within_prompts(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids);
// [M] fp64: the spread within prompts of each column, 1 where it does not vary. rewards: [P, M]
at::Tensor pooled_spreads(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids);

}  // namespace rewards
