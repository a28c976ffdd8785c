#pragma once

// What a judge said of images: the JSONL that `laurel judge` writes and `laurel train-reward lvlm`
// learns from. An object a line, "v": 1; docs/rewards.md has the form.

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace rewards {

constexpr size_t kBins = 5;  // of a score between the lowest and the highest: 0, 1/4, .., 1
using Bins = std::array<double, kBins>;  // probabilities

// Soft labels over the bins of a score in [0, 1]: between its two neighbours, in equal parts of
// nearness; or a Gaussian of that deviation, integrated over each bin's surroundings.
Bins bins_of_score(double score);
Bins bins_of_gaussian(double mean, double deviation);
double mean_of(const Bins& bins);

struct PointJudgement {
  std::string prompt;
  std::filesystem::path image;
  std::map<std::string, Bins> axes;
};

// The judge's preference for `a`, of one order in which it saw them.
struct PairJudgement {
  std::string prompt;
  std::filesystem::path a, b;
  bool a_first = true;
  std::map<std::string, double> axes;  // probability that a is better
};

struct Judgements {
  std::vector<PointJudgement> points;
  std::vector<PairJudgement> pairs;
  int64_t unusable = 0;  // lines with "ok": false
};

// Images are relative to the file's folder. Throws BadInput naming the line and the key.
Judgements read_judgements(const std::filesystem::path& path);
void append(Judgements& all, Judgements more);

// Both orders of a pair as one.
struct JudgedPair {
  std::string prompt;
  std::filesystem::path a, b;
  std::map<std::string, double> axes;  // mean of the orders
};
struct MergedPairs {
  std::vector<JudgedPair> pairs;
  int64_t both_orders = 0;  // axes of pairs that were seen in both
  int64_t consistent = 0;   // of them: the same one preferred in both, or a tie in either
};
// An axis on which the two orders prefer different images is left out: it says where they stood.
MergedPairs merge_orders(const std::vector<PairJudgement>& pairs);

}  // namespace rewards
