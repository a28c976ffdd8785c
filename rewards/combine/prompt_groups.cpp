#include "rewards/combine/prompt_groups.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <map>

namespace rewards {

std::vector<std::vector<int64_t>> rows_of_groups(const std::vector<int64_t>& ids) {
  std::map<int64_t, std::vector<int64_t>> groups;
  for (size_t i = 0; i < ids.size(); ++i) groups[ids[i]].push_back(static_cast<int64_t>(i));
  std::vector<std::vector<int64_t>> rows;
  for (auto& [id, members] : groups) rows.push_back(std::move(members));
  return rows;
}

std::vector<int64_t> ids_of_texts(const std::vector<std::string>& texts) {
  std::map<std::string, int64_t> known;
  std::vector<int64_t> ids;
  for (const auto& text : texts)
    ids.push_back(known.emplace(text, static_cast<int64_t>(known.size())).first->second);
  return ids;
}

std::vector<std::vector<int64_t>> prompt_groups(const at::Tensor& rewards,
                                                const std::vector<int64_t>& prompt_ids) {
  const at::Tensor finite = rewards.isfinite().to(at::kCPU).contiguous();
  std::map<int64_t, size_t> place;
  std::vector<std::vector<int64_t>> groups;
  for (size_t i = 0; i < prompt_ids.size(); ++i) {
    const auto [found, added] = place.emplace(prompt_ids[i], groups.size());
    if (added) groups.emplace_back();
    if (finite.data_ptr<bool>()[i]) groups[found->second].push_back(static_cast<int64_t>(i));
  }
  return groups;
}

double spread_within_prompts(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids) {
  double variances = 0;
  int64_t prompts = 0;
  for (const auto& members : prompt_groups(rewards, prompt_ids)) {
    if (members.size() < 2) continue;
    const at::Tensor group =
        rewards.to(at::kCPU, at::kDouble).index_select(0, at::tensor(members, at::kLong));
    variances += at::var(group, /*unbiased=*/true).item<double>();
    ++prompts;
  }
  return prompts == 0 ? 0.0 : std::sqrt(variances / static_cast<double>(prompts));
}

at::Tensor pooled_spreads(const at::Tensor& rewards, const std::vector<int64_t>& prompt_ids) {
  at::Tensor spreads = at::ones({rewards.size(1)}, at::kDouble);
  for (int64_t m = 0; m < rewards.size(1); ++m) {
    const double spread = spread_within_prompts(rewards.select(1, m), prompt_ids);
    if (spread > 0) spreads[m] = spread;
  }
  return spreads;
}

}  // namespace rewards
