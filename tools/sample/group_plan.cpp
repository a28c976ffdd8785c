#include "tools/sample/group_plan.hpp"

#include <algorithm>

#include "tools/sample/jobs.hpp"

namespace tools {
namespace {

std::vector<Wanted> candidates_in(const std::vector<size_t>& group, int64_t best_of) {
  std::vector<Wanted> all;
  for (const size_t job : group)
    for (int64_t i = 0; i < best_of; ++i) all.push_back({job, i});
  return all;
}

GroupPlan plan_search(const SampleConfig& config,
                      const Guide& guide,
                      const std::vector<size_t>& group,
                      const std::vector<bool>& finished) {
  std::vector<size_t> missing;
  for (const size_t job : group)
    if (!finished[job]) missing.push_back(job);
  GroupPlan plan{.wanted = candidates_in(missing, config.best_of)};
  const int64_t round = round_of(guide, config.guide);
  plan.rounds = config.best_of / round;
  const size_t at_once = std::max<size_t>(1, missing.size()) * static_cast<size_t>(round);
  plan.micro_batch = micro_batch_of(config, at_once);
  return plan;
}

}  // namespace

int64_t GroupPlan::batches() const {
  const int64_t of_round = static_cast<int64_t>(wanted.size()) / rounds;
  return rounds * ((of_round + micro_batch - 1) / micro_batch);
}

GroupPlan plan_group(const SampleConfig& config,
                     const Guide& guide,
                     const std::vector<size_t>& group,
                     const std::vector<bool>& finished) {
  if (search_of(guide) != nullptr) return plan_search(config, guide, group, finished);
  const auto all = candidates_in(group, config.best_of);
  GroupPlan plan{.wanted = {}, .micro_batch = micro_batch_of(config, all.size())};
  const auto size = static_cast<size_t>(plan.micro_batch);
  for (size_t first = 0; first < all.size(); first += size) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(size, all.size() - first));
    if (!std::all_of(begin, end, [&](const Wanted& one) { return finished[one.job]; }))
      plan.wanted.insert(plan.wanted.end(), begin, end);
  }
  return plan;
}

}  // namespace tools
