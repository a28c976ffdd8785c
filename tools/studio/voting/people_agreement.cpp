#include "tools/studio/voting/people_agreement.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rewards/evaluation/wilson.hpp"

namespace studio {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// Answers by kind. Of those with a preference half count as "first", half as "second".
struct Kinds {
  double decided = 0, equal = 0;
  void add(int answer, double count = 1) { (answer == 0 ? equal : decided) += count; }
  double all() const { return decided + equal; }
};

double corrected(double observed, double by_chance) {
  return by_chance < 1 ? (observed - by_chance) / (1 - by_chance) : kUndefined;
}

// Of the picture with the smaller id over the other.
int preference_in(const StandingVote& vote) {
  if (vote.answer != "left" && vote.answer != "right") return 0;
  const bool left_is_first = vote.pair.left < vote.pair.right;
  return (vote.answer == "left") == left_is_first ? 1 : -1;
}

}  // namespace

Preferences preferences_of(const std::vector<StandingVote>& votes, int64_t person, bool again) {
  Preferences found;
  for (const auto& vote : votes) {
    if (vote.pair.person != person || vote.answer == "skip" ||
        vote.pair.repeats.has_value() != again)
      continue;
    const auto key = std::minmax(vote.pair.left, vote.pair.right);
    found.emplace(std::pair<int64_t, int64_t>(key), preference_in(vote));
  }
  return found;
}

Concordance cohens_kappa(const Preferences& one, const Preferences& other) {
  Kinds of_one, of_other;
  double alike = 0;
  for (const auto& [pair, answer] : one) {
    const auto found = other.find(pair);
    if (found == other.end()) continue;
    of_one.add(answer);
    of_other.add(found->second);
    alike += answer == found->second;
  }
  const double all = of_one.all();
  if (all == 0) return {.share = rewards::wilson(0, 0), .kappa = kUndefined, .pairs = 0};
  const double by_chance =
      (of_one.decided * of_other.decided / 2 + of_one.equal * of_other.equal) / (all * all);
  return {.share = rewards::wilson(alike, all),
          .kappa = corrected(alike / all, by_chance),
          .pairs = static_cast<int64_t>(all)};
}

double kappa_of_share(double share) { return corrected(share, 0.5); }

Alpha krippendorffs_alpha(const std::vector<Preferences>& people) {
  std::map<std::pair<int64_t, int64_t>, std::vector<int>> answers;
  for (const auto& person : people) {
    for (const auto& [pair, answer] : person) answers[pair].push_back(answer);
  }
  Kinds kinds;
  double alike = 0;  // the diagonal of the coincidence matrix
  Alpha alpha;
  for (const auto& [pair, given] : answers) {
    if (given.size() < 2) continue;
    ++alpha.pairs;
    for (size_t i = 0; i < given.size(); ++i) {
      kinds.add(given[i]);
      for (size_t k = 0; k < given.size(); ++k)
        alike += (i != k && given[i] == given[k]) / static_cast<double>(given.size() - 1);
    }
  }
  const double all = kinds.all(), half = kinds.decided / 2;
  if (all < 2) return {.value = kUndefined, .pairs = alpha.pairs};
  const double by_chance =
      (2 * half * (half - 1) + kinds.equal * (kinds.equal - 1)) / (all * (all - 1));
  alpha.value = corrected(alike / all, by_chance);
  return alpha;
}

}  // namespace studio
