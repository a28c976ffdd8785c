#pragma once

// Pairwise accuracy. The field has at least five definitions; here each is an AccuracyRule, and
// every number is reported with the name of its rule.

#include <cstdint>
#include <string>
#include <vector>

namespace rewards {

struct ScoredPair {
  int64_t group = 0;    // the prompt
  double a = 0, b = 0;  // scores
  double label = 1;     // 1: a is preferred, 0: b, 0.5: a tie
};

enum class TruthTie {
  kSkip,     // left out
  kCorrect,  // any prediction is right: 1 - inversions / pairs
  kLabel,    // a third class: right when a tie is predicted, else half
};
enum class PredictedTie {
  kWrong,
  kHalf,
  kCorrect,
  kLabel,  // a third class: half where the truth is no tie
};
struct AccuracyRule {
  std::string name;  // of the paper or code that defines it
  TruthTie truth = TruthTie::kSkip;
  PredictedTie predicted = PredictedTie::kWrong;
  double threshold = 0;  // a tie is predicted when |p(a) - p(b)| <= threshold, p the softmax of
                         // both; 0: equal scores
  bool macro = false;    // mean over the prompts' own accuracies, instead of over pairs
};

// ImageReward's test.py, HPSv2's mode=ImageReward, HPSv2's mode=test (HPDv2), PickScore's, Social
// Reward's.
std::vector<AccuracyRule> published_rules(double pickscore_threshold);
// "truth ties skipped, predicted ties wrong, over pairs"
std::string text_of(const AccuracyRule& rule);

struct Accuracy {
  double value = 0;          // NaN: no pair counts
  int64_t pairs = 0;         // that count
  double low = 0, high = 0;  // 95 % by a bootstrap over prompts, seed 0
};
// A pair with a score that is not finite is left out.
Accuracy pair_accuracy(const std::vector<ScoredPair>& pairs, const AccuracyRule& rule);

// The threshold, among the differences that occur, with the best accuracy under PickScore's rule.
double tuned_threshold(const std::vector<ScoredPair>& pairs);

}  // namespace rewards
