#include "rewards/labels/selection.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>
#include <unordered_map>

namespace rewards {
namespace {

struct Tally {
  LabelledPair first;
  double lead = 0;     // weights for a less those for b
  double weights = 0;  // of all answers
  double answers = 0;
  bool decided = false;
};

struct Duellists {
  int64_t winner = -1, loser = -1;
};

}  // namespace

MergedLabels merged_labels(const std::vector<LabelledPair>& answers) {
  std::map<std::tuple<int64_t, int64_t, int64_t>, size_t> place;
  std::vector<Tally> tallies;
  for (const auto& answer : answers) {
    const auto [found, fresh] = place.try_emplace(
        {answer.prompt, std::min(answer.a, answer.b), std::max(answer.a, answer.b)},
        tallies.size());
    if (fresh) tallies.push_back({.first = answer});
    Tally& tally = tallies[found->second];
    const double for_a = (2 * answer.p - 1) * (answer.a == tally.first.a ? 1 : -1);
    tally.lead += for_a * answer.weight;
    tally.weights += answer.weight;
    tally.answers += 1;
    tally.decided = tally.decided || for_a != 0;
    if (answer.person != tally.first.person) tally.first.person = -1;
  }
  MergedLabels merged;
  for (const auto& tally : tallies) {
    if (tally.decided && tally.lead == 0) {
      ++merged.contradictory;
      continue;
    }
    LabelledPair pair = tally.first;
    pair.p = tally.lead > 0 ? 1 : tally.lead < 0 ? 0 : 0.5;
    pair.weight = (tally.decided ? std::abs(tally.lead) : tally.weights) / tally.answers;
    merged.pairs.push_back(pair);
  }
  return merged;
}

bool placed_alike(double p, double q) { return (p > 0.5) == (q > 0.5) && (p < 0.5) == (q < 0.5); }

std::vector<LabelledPair> duel_then_point(const std::vector<LabelledPair>& duels,
                                          const std::vector<double>& points,
                                          double least_gap) {
  const auto point = [&](int64_t image) { return points[static_cast<size_t>(image)]; };
  std::unordered_map<int64_t, size_t> place;
  std::vector<std::pair<int64_t, Duellists>> prompts;
  for (const auto& duel : duels) {
    if (duel.p == 0.5) continue;
    const auto [found, fresh] = place.try_emplace(duel.prompt, prompts.size());
    if (fresh) prompts.push_back({duel.prompt, {}});
    Duellists& best = prompts[found->second].second;
    const int64_t winner = duel.p > 0.5 ? duel.a : duel.b, loser = duel.p > 0.5 ? duel.b : duel.a;
    if (!std::isnan(point(winner)) && (best.winner < 0 || point(winner) > point(best.winner)))
      best.winner = winner;
    if (!std::isnan(point(loser)) && (best.loser < 0 || point(loser) < point(best.loser)))
      best.loser = loser;
  }
  std::vector<LabelledPair> pairs;
  for (const auto& [prompt, best] : prompts) {
    if (best.winner < 0 || best.loser < 0 || best.winner == best.loser) continue;
    const double gap = point(best.winner) - point(best.loser);
    if (gap > 0 && gap >= least_gap)
      pairs.push_back({.prompt = prompt, .a = best.winner, .b = best.loser});
  }
  return pairs;
}

std::vector<int64_t> best_of_each(const std::vector<double>& scores,
                                  const std::vector<int64_t>& prompts,
                                  double keep) {
  std::unordered_map<int64_t, size_t> place;
  std::vector<std::vector<int64_t>> images;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto [found, fresh] = place.try_emplace(prompts[i], images.size());
    if (fresh) images.emplace_back();
    if (!std::isnan(scores[i])) images[found->second].push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> kept;
  for (auto& own : images) {
    std::stable_sort(own.begin(), own.end(), [&](int64_t i, int64_t j) {
      return scores[static_cast<size_t>(i)] > scores[static_cast<size_t>(j)];
    });
    constexpr double kRounding = 1e-9;  // a share of 0.3 of 10 images is 3
    const double wanted =
        keep < 1 ? std::ceil(keep * static_cast<double>(own.size()) - kRounding) : std::floor(keep);
    const auto count = std::min(own.size(), static_cast<size_t>(wanted));
    kept.insert(kept.end(), own.begin(), own.begin() + static_cast<int64_t>(count));
  }
  return kept;
}

}  // namespace rewards
