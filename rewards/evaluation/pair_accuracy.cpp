#include "rewards/evaluation/pair_accuracy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "rewards/evaluation/agreement.hpp"

namespace rewards {
namespace {

constexpr size_t kMostThresholds = 200;

double gap(const ScoredPair& pair) { return std::tanh(std::abs(pair.a - pair.b) / 2); }

bool finite(const ScoredPair& pair) { return std::isfinite(pair.a) && std::isfinite(pair.b); }

// The credit of a pair, in [0, 1]; below 0: the pair does not count.
double credit(const ScoredPair& pair, const AccuracyRule& rule) {
  const bool truth_tie = pair.label == 0.5;
  const bool tie = rule.threshold > 0 ? gap(pair) <= rule.threshold : pair.a == pair.b;
  if (truth_tie) {
    if (rule.truth == TruthTie::kSkip) return -1;
    if (rule.truth == TruthTie::kCorrect) return 1;
    return tie ? 1 : 0.5;
  }
  if (tie) {
    if (rule.predicted == PredictedTie::kWrong) return 0;
    return rule.predicted == PredictedTie::kCorrect ? 1 : 0.5;
  }
  return (pair.a > pair.b) == (pair.label > 0.5) ? 1 : 0;
}

struct Sum {
  double earned = 0, count = 0;
};

double value_of(const std::vector<Sum>& prompts, const std::vector<size_t>& drawn, bool macro) {
  double sum = 0, count = 0;
  for (const size_t i : drawn) {
    sum += macro ? prompts[i].earned / prompts[i].count : prompts[i].earned;
    count += macro ? 1 : prompts[i].count;
  }
  return sum / count;
}

}  // namespace

std::vector<AccuracyRule> published_rules(double pickscore_threshold) {
  return {{"imagereward", TruthTie::kSkip, PredictedTie::kWrong, 0, false},
          {"hpsv2", TruthTie::kSkip, PredictedTie::kWrong, 0, true},
          {"hpdv2", TruthTie::kCorrect, PredictedTie::kCorrect, 0, true},
          {"pickscore", TruthTie::kLabel, PredictedTie::kLabel, pickscore_threshold, false},
          {"social", TruthTie::kSkip, PredictedTie::kCorrect, 0, false}};
}

std::string text_of(const AccuracyRule& rule) {
  static const std::map<TruthTie, std::string> kTruth = {
      {TruthTie::kSkip, "skipped"}, {TruthTie::kCorrect, "correct"}, {TruthTie::kLabel, "a label"}};
  static const std::map<PredictedTie, std::string> kPredicted = {
      {PredictedTie::kWrong, "wrong"},
      {PredictedTie::kHalf, "half"},
      {PredictedTie::kCorrect, "correct"},
      {PredictedTie::kLabel, "a label"}};
  std::string text = "truth ties " + kTruth.at(rule.truth) + ", predicted ties " +
                     kPredicted.at(rule.predicted) + ", over " + (rule.macro ? "prompts" : "pairs");
  if (rule.threshold > 0) text += ", tie within " + std::to_string(rule.threshold);
  return text;
}

Accuracy pair_accuracy(const std::vector<ScoredPair>& pairs, const AccuracyRule& rule) {
  std::map<int64_t, Sum> groups;
  Accuracy accuracy;
  for (const auto& pair : pairs) {
    const double earned = finite(pair) ? credit(pair, rule) : -1;
    if (earned < 0) continue;
    groups[pair.group].earned += earned;
    groups[pair.group].count += 1;
    ++accuracy.pairs;
  }
  if (groups.empty()) {
    accuracy.value = accuracy.low = accuracy.high = std::numeric_limits<double>::quiet_NaN();
    return accuracy;
  }
  std::vector<Sum> prompts;
  for (const auto& [id, sum] : groups) prompts.push_back(sum);
  const Interval interval = bootstrap(prompts.size(), [&](const std::vector<size_t>& drawn) {
    return value_of(prompts, drawn, rule.macro);
  });
  accuracy.value = interval.value;
  accuracy.low = interval.low;
  accuracy.high = interval.high;
  return accuracy;
}

double tuned_threshold(const std::vector<ScoredPair>& pairs) {
  std::vector<double> gaps;
  for (const auto& pair : pairs) {
    if (finite(pair)) gaps.push_back(gap(pair));
  }
  std::sort(gaps.begin(), gaps.end());
  gaps.erase(std::unique(gaps.begin(), gaps.end()), gaps.end());
  const size_t step = std::max<size_t>(1, gaps.size() / kMostThresholds);
  double best = 0, best_sum = -1;
  for (size_t i = 0; i <= gaps.size(); i += step) {
    const double threshold = i == 0 ? 0 : gaps[i - 1];
    const AccuracyRule rule{"", TruthTie::kLabel, PredictedTie::kLabel, threshold, false};
    double sum = 0;
    for (const auto& pair : pairs) sum += finite(pair) ? credit(pair, rule) : 0;
    if (sum > best_sum) {
      best_sum = sum;
      best = threshold;
    }
  }
  return best;
}

}  // namespace rewards
