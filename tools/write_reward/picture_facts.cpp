#include "tools/write_reward/picture_facts.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/unicode/utf8.hpp"
#include "rewards/custom/expression.hpp"
#include "rewards/loader/reward_spec.hpp"
#include "rewards/registry/registry.hpp"

using data::BadInput;
namespace fs = std::filesystem;

namespace tools {
namespace {

constexpr size_t kMostWordsAtOnce = 8;  // clip:"words" of one formula: each embeds every picture

std::vector<std::string> nameable_facts(const rewards::RewardSources& sources) {
  std::vector<std::string> names;
  for (const auto* entry : rewards::reward_entries()) {
    if (!entry->weights && !entry->reads_clip && !entry->is_gold && !entry->info.needs_prompt)
      names.push_back(entry->info.name);
  }
  for (const auto& text : sources.definitions)
    names.push_back(rewards::parse_reward_spec(text, rewards::reward_families()).name);
  return names;
}

}  // namespace

PictureFacts::PictureFacts(const std::vector<fs::path>& files,
                           rewards::RewardSources sources,
                           const ScoringOptions& options)
    : files_(files), sources_(std::move(sources)), options_(options) {
  std::vector<rewards::WeightedReward> rewards;
  for (auto& reward : rewards::make_formula_parts(nameable_facts(sources_), sources_)) {
    options_.need_prompt |= reward.info.needs_prompt;
    facts_.push_back(reward.info);
    rewards.push_back({std::move(reward), 1});
  }
  measure(rewards, /*may_leave_out=*/true);
  options_.need_prompt = false;  // clip:"words" needs none
  if (files_.size() < 2)
    throw BadInput("laurel write-reward: expected at least two pictures that can be read, found " +
                   std::to_string(files_.size()));
}

void PictureFacts::measure(const std::vector<rewards::WeightedReward>& rewards,
                           bool may_leave_out) {
  const auto count = static_cast<int64_t>(files_.size()),
             width = static_cast<int64_t>(rewards.size());
  at::Tensor raw =
      at::full({count, width}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);  // [P, M]
  std::vector<bool> unreadable(files_.size(), false);
  score_files(jobs_of(files_, {}), rewards, options_,
              {.scored =
                   [&](const ScoreJob& job, const std::vector<double>& scores) {
                     raw[static_cast<int64_t>(job.row)].copy_(at::tensor(scores, at::kDouble));
                   },
               .failed =
                   [&](const ScoreJob& job, const std::string& fault) {
                     unreadable[job.row] = true;
                     data::log_error(fault);
                   }});
  if (may_leave_out) {
    std::vector<int64_t> kept;
    std::vector<fs::path> kept_files;
    for (size_t i = 0; i < files_.size(); ++i) {
      if (unreadable[i]) continue;
      kept.push_back(static_cast<int64_t>(i));
      kept_files.push_back(files_[i]);
    }
    raw = raw.index_select(0, at::tensor(kept, at::kLong));
    files_ = kept_files;
  }
  for (int64_t m = 0; m < width; ++m)
    values_[rewards[static_cast<size_t>(m)].reward.info.name] = raw.select(1, m).clone();
}

void PictureFacts::check_name(const std::string& name) const {
  const auto part = rewards::formula_part(name);
  if (part.reward == "clip" && part.words) return;
  if (part.reward == "clip") throw BadInput("'clip' needs words: clip:\"a watercolour\"");
  if (part.words) throw BadInput("'" + data::shortened(name, 60) + "': only clip takes words");
  std::vector<std::string> known;
  for (const auto& fact : facts_) known.push_back(fact.name);
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  const std::string near = data::nearest(name, known);
  throw BadInput("'" + data::shortened(name, 60) + "' is none of the facts" +
                 (near.empty() ? "" : "; did you mean " + near + "?"));
}

std::vector<at::Tensor> PictureFacts::of(const std::vector<std::string>& names) {
  std::vector<std::string> missing;
  for (const auto& name : names) {
    check_name(name);
    if (!values_.count(name)) missing.push_back(name);
  }
  if (missing.size() > kMostWordsAtOnce)
    throw BadInput("expected at most " + std::to_string(kMostWordsAtOnce) +
                   " clip:\"words\" in a formula, found " + std::to_string(missing.size()));
  if (!missing.empty()) {
    const auto parts = rewards::make_formula_parts(missing, sources_);
    std::vector<rewards::WeightedReward> rewards;
    for (size_t i = 0; i < parts.size(); ++i) {
      rewards.push_back({parts[i], 1});
      rewards.back().reward.info.name = missing[i];
    }
    measure(rewards, /*may_leave_out=*/false);
  }
  std::vector<at::Tensor> values;
  for (const auto& name : names) values.push_back(values_.at(name));
  return values;
}

}  // namespace tools
