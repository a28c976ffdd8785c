#include "tools/bench_rewards/scores.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>

#include "tools/cli/console/progress.hpp"

namespace tools {
namespace {

constexpr size_t kItemsAtOnce = 256;

using Rows = std::vector<std::vector<double>>;  // [prompts][pictures]

const std::string& prompt_of(const BenchItem& item, size_t variant) {
  return variant == 0 ? item.prompt : item.variants[variant - 1].prompt;
}

Rows empty_rows(const BenchItem& item) {
  return Rows(1 + item.variants.size(),
              std::vector<double>(1 + item.wrong.size(), std::numeric_limits<double>::quiet_NaN()));
}

bool is_complete(const Rows& rows) {
  return std::all_of(rows.begin(), rows.end(), [](const auto& row) {
    return std::all_of(row.begin(), row.end(), [](double one) { return std::isfinite(one); });
  });
}

std::string key_in_log(const rewards::WeightedReward& reward, size_t item) {
  return reward.reward.info.name + " " + std::to_string(item);
}

// What an earlier run scored; empty where it did not.
Rows logged_rows(const BenchItem& item, const ScoreLog* log, const std::string& key) {
  const auto* found = log ? log->find(key) : nullptr;
  Rows rows = empty_rows(item);
  if (!found || found->raw.size() != rows.size() * rows[0].size()) return {};
  auto next = found->raw.begin();
  for (auto& row : rows)
    for (auto& one : row) one = *next++;
  return rows;
}

struct ScorePlace {
  size_t item, prompt, picture;
};

// Scores the items [first, last) that are not in the log. Returns the images scored.
size_t score_some(const std::vector<BenchItem>& items,
                  std::pair<size_t, size_t> range,
                  const rewards::WeightedReward& reward,
                  const BenchScoring& scoring,
                  BenchScores& scores) {
  std::vector<ScoreJob> jobs;
  std::vector<ScorePlace> places;
  std::vector<size_t> fresh;
  for (size_t i = range.first; i < range.second; ++i) {
    const auto& item = items[i];
    scores.of_item[i] = logged_rows(item, scoring.log, key_in_log(reward, i));
    if (!scores.of_item[i].empty()) continue;
    scores.of_item[i] = empty_rows(item);
    fresh.push_back(i);
    for (size_t t = 0; t <= item.variants.size(); ++t) {
      for (size_t k = 0; k <= item.wrong.size(); ++k) {
        jobs.push_back({k == 0 ? item.right : item.wrong[k - 1], prompt_of(item, t), jobs.size()});
        places.push_back({i, t, k});
      }
    }
  }
  const size_t count = jobs.size();
  if (count == 0) return 0;
  score_files(
      std::move(jobs), {reward}, scoring.options,
      {.scored =
           [&](const ScoreJob& job, const std::vector<double>& raw) {
             const auto& place = places[job.row];
             scores.of_item[place.item][place.prompt][place.picture] = raw[0];
           },
       .failed = [&](const ScoreJob&, const std::string& fault) { scoring.complain(fault); }});
  if (!scoring.log) return count;
  std::vector<std::pair<std::string, ScoreLog::Row>> done;
  for (const size_t i : fresh) {
    if (!is_complete(scores.of_item[i])) continue;
    std::vector<double> flat;
    for (const auto& row : scores.of_item[i]) flat.insert(flat.end(), row.begin(), row.end());
    done.push_back({key_in_log(reward, i), {items[i].prompt, flat}});
  }
  scoring.log->add(done);
  return count;
}

}  // namespace

BenchScores bench_scores(const std::vector<BenchItem>& items,
                         const rewards::WeightedReward& reward,
                         const BenchScoring& scoring) {
  BenchScores scores;
  scores.of_item.resize(items.size());
  size_t images = 0;
  std::chrono::duration<double, std::milli> spent{};
  std::optional<Progress> progress;
  if (items.size() > kItemsAtOnce)
    progress.emplace("Scoring by " + reward.reward.info.name, static_cast<int64_t>(items.size()));
  for (size_t first = 0; first < items.size(); first += kItemsAtOnce) {
    const auto start = std::chrono::steady_clock::now();
    const size_t last = std::min(first + kItemsAtOnce, items.size());
    const size_t some = score_some(items, {first, last}, reward, scoring, scores);
    if (some) spent += std::chrono::steady_clock::now() - start;
    images += some;
    if (progress) progress->advance(static_cast<int64_t>(last - first));
  }
  scores.milliseconds = images ? spent.count() / static_cast<double>(images)
                               : std::numeric_limits<double>::quiet_NaN();
  for (auto& rows : scores.of_item) {
    if (is_complete(rows)) continue;
    rows.clear();
    ++scores.left_out;
  }
  return scores;
}

}  // namespace tools
