#include "tools/score/proxies.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "rewards/combine/combine.hpp"
#include "rewards/combine/prompt_groups.hpp"

using data::BadInput;

namespace tools {
namespace {

// Each prompt's samples with this score, [P], and this value as gold.
std::vector<rewards::PromptSamples> samples_of(const at::Tensor& score,
                                               const at::Tensor& gold,
                                               const std::vector<int64_t>& prompts) {
  const at::Tensor scores = score.contiguous(), values = gold.contiguous();
  const double *s = scores.const_data_ptr<double>(), *g = values.const_data_ptr<double>();
  std::map<int64_t, rewards::PromptSamples> by_prompt;
  for (size_t i = 0; i < prompts.size(); ++i) {
    by_prompt[prompts[i]].proxy.push_back(s[i]);
    by_prompt[prompts[i]].gold.push_back(g[i]);
  }
  std::vector<rewards::PromptSamples> samples;
  for (auto& [prompt, own] : by_prompt) samples.push_back(std::move(own));
  return samples;
}

// What these values, [P], gain on average by the best of n of this score over all images.
double gain_at(int64_t n,
               const at::Tensor& score,
               const at::Tensor& values,
               const std::vector<int64_t>& prompts) {
  const auto samples = samples_of(score, values, prompts);
  double gain = 0;
  for (const auto& prompt : samples)
    gain += rewards::best_of_n(prompt.proxy, prompt.gold, n) -
            rewards::best_of_n(prompt.proxy, prompt.gold, 1);
  return gain / static_cast<double>(samples.size());
}

// The score whose best of n is best in the worst case: of those that mix the nominal member with
// one other, a nominal + (1 - a) member_m, the one for which a E[nominal] + (1 - a) min over
// members of E[member] is highest. -> [P]
at::Tensor robust_score(int64_t n,
                        const at::Tensor& members,
                        const std::vector<int64_t>& prompts,
                        rewards::AggregateOptions rule) {
  const double a = rule.nominal;
  rule.nominal = 1;
  const at::Tensor nominal = rewards::aggregate(members, rule);
  rule.nominal = a;
  at::Tensor best;
  double highest = 0;
  for (int64_t m = 0; m < members.size(1); ++m) {
    rule.gains = at::zeros({members.size(1)}, at::kDouble);
    rule.gains[m] = -1;  // the worst one
    const at::Tensor score = rewards::aggregate(members, rule);
    double least = gain_at(n, score, members.select(1, 0), prompts);
    for (int64_t other = 1; other < members.size(1); ++other)
      least = std::min(least, gain_at(n, score, members.select(1, other), prompts));
    const double value = a * gain_at(n, score, nominal, prompts) + (1 - a) * least;
    if (best.defined() && value <= highest) continue;
    best = score;
    highest = value;
  }
  return best;
}

std::vector<rewards::BestOfPoint> robust_curve(const ScoredImages& images,
                                               const at::Tensor& members,
                                               const rewards::AggregateOptions& rule) {
  std::vector<rewards::BestOfPoint> curve;
  for (const int64_t n :
       rewards::best_of_sizes(samples_of(images.gold, images.gold, images.prompts))) {
    const at::Tensor score = robust_score(n, members, images.prompts, rule);
    curve.push_back(rewards::best_of_point(samples_of(score, images.gold, images.prompts), n));
  }
  return curve;
}

}  // namespace

std::vector<int64_t> member_columns(const std::vector<std::string>& names, const std::string& of) {
  std::map<std::string, std::vector<int64_t>> groups;
  for (size_t c = 0; c < names.size(); ++c) {
    const size_t dot = names[c].rfind('.');
    if (dot == std::string::npos || !data::number_of<int64_t>(names[c].substr(dot + 1))) continue;
    groups[names[c].substr(0, dot)].push_back(static_cast<int64_t>(c));
  }
  for (auto group = groups.begin(); group != groups.end();)
    group = group->second.size() < 2 ? groups.erase(group) : std::next(group);
  if (!of.empty()) {
    const auto found = groups.find(of);
    if (found != groups.end()) return found->second;
  } else if (groups.size() < 2) {
    return groups.empty() ? std::vector<int64_t>{} : groups.begin()->second;
  }
  std::string all;
  for (const auto& [name, columns] : groups) all += (all.empty() ? "" : ", ") + name;
  throw BadInput("--members: expected one of the rewards with members (" +
                 (all.empty() ? "none here" : all) + "), found '" + of + "'");
}

std::vector<Proxy> parse_proxies(const std::string& list, const ScoredImages& images) {
  std::vector<Proxy> proxies;
  for (const std::string& name : data::split(list, ',')) {
    if (name.empty()) continue;
    const auto column = std::find(images.names.begin(), images.names.end(), name);
    if (column != images.names.end()) {
      proxies.push_back({name, column - images.names.begin(), nullptr});
      continue;
    }
    const auto rules = rewards::aggregate_names(true);
    if (std::find(rules.begin(), rules.end(), name) == rules.end())
      throw BadInput("--proxy: expected a reward of the file (" + data::joined(images.names, ", ") +
                     ") or an aggregate (" + data::joined(rules, ", ") + "), found '" + name + "'");
    if (images.members.empty())
      throw BadInput("--proxy " + name +
                     ": expected scores of members, as of laurel score --rewards "
                     "aesthetic.members, found none");
    proxies.push_back({name, -1, &rewards::aggregate_by_name(name)});
  }
  if (proxies.empty()) throw BadInput("--proxy: expected at least one reward, found none");
  return proxies;
}

at::Tensor standardised_members(const ScoredImages& images) {
  const at::Tensor columns = at::tensor(images.members, at::kLong);
  const at::Tensor raw = images.columns.index_select(1, columns);
  at::Tensor z = raw / rewards::pooled_spreads(raw, images.prompts);
  for (const auto& rows : rewards::rows_of_groups(images.prompts)) {
    const at::Tensor own = at::tensor(rows, at::kLong);
    const at::Tensor group = z.index_select(0, own);
    z.index_copy_(0, own, group - group.mean(0, /*keepdim=*/true));
  }
  return z;
}

std::vector<rewards::BestOfPoint> curve_of(const Proxy& proxy,
                                           const ScoredImages& images,
                                           const rewards::AggregateOptions& options) {
  if (proxy.column >= 0)
    return rewards::best_of_curve(
        samples_of(images.columns.select(1, proxy.column), images.gold, images.prompts));
  const at::Tensor members = standardised_members(images);
  rewards::AggregateOptions rule = options;
  rule.kind = proxy.aggregate;
  if (rule.kind->reads_gains) return robust_curve(images, members, rule);
  return rewards::best_of_curve(
      samples_of(rewards::aggregate(members, rule), images.gold, images.prompts));
}

}  // namespace tools
