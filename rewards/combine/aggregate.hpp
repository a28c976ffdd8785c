#pragma once

// Several measurements of the same things become one number: scales, aggregates, limits. Columns
// are measurements: x: [P, M] fp64 on the CPU; a value that is not finite stays so and touches no
// other row.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace data {

// The rows of each group, in the order of their ids.
std::vector<std::vector<int64_t>> rows_of_groups(const std::vector<int64_t>& ids);
// Equal texts get equal ids, numbered as they first occur.
std::vector<int64_t> ids_of_texts(const std::vector<std::string>& texts);

// (number of smaller + (number of equal + 1) / 2) / n among the n finite values of the row's group:
// free of any scale, in (0, 1], ties share the middle. -> [P, M]
at::Tensor rank_within(const at::Tensor& x, const std::vector<int64_t>& ids);

// Mean and spread of all values seen so far, by Chan, Golub and LeVeque's update (1979).
struct RunningMoments {
  double count = 0;
  at::Tensor mean, squares;  // [M]; undefined before the first update
};
void update(RunningMoments& moments, const at::Tensor& x);  // rows not wholly finite are left out
// (x - mean) / deviation (of the population); a column that never varied becomes 0.
at::Tensor standardised(const RunningMoments& moments, const at::Tensor& x);

// Moments measured once on named rewards, kept in a file, with what they were measured on.
struct RewardStatistics {
  std::vector<std::string> names;  // M
  RunningMoments moments;
  std::string digest;  // SHA-256 over the measured rows: tells whether two files agree
};
RewardStatistics measure_statistics(const std::vector<std::string>& names, const at::Tensor& x);
std::string statistics_text(const RewardStatistics& statistics);  // JSON
// The moments of `names` in that order. Throws BadInput naming the file and the reward that it does
// not know.
RewardStatistics read_statistics(const std::filesystem::path& path,
                                 const std::vector<std::string>& names);

// How M parts (already scaled and weighted) become one: [P, M] -> [P].
enum class Aggregate {
  kSum,
  kMean,
  kMin,          // the worst case: Coste et al., "Reward model ensembles" (2023), WCO
  kSoftMin,      // -tau log mean exp(-x / tau): the minimum as tau -> 0, the mean as tau grows
  kMeanStd,      // mean - k deviation, of the population of parts
  kUncertainty,  // mean - k variance: Coste et al., UWO
};
// "sum", "mean", "min", "soft_min", "mean_std", "uncertainty"; else BadInput.
Aggregate aggregate_by_name(const std::string& name);
struct AggregateOptions {
  Aggregate kind = Aggregate::kSum;
  double temperature = 1.0;  // of kSoftMin, > 0
  double k = 1.0;            // of kMeanStd and kUncertainty
};
at::Tensor aggregate(const at::Tensor& parts, const AggregateOptions& options);

// Limits of a reward in raw units: beyond them there is nothing more to earn (ReFL's hinge at 2).
struct Cap {
  double low, high;  // infinite where open
};
// "imagereward=..2,aesthetic=4..7" for these names; the others are open. Throws BadInput.
std::vector<Cap> parse_caps(const std::string& text, const std::vector<std::string>& names);
at::Tensor capped(const at::Tensor& x, const std::vector<Cap>& caps);

// "clip_score>=25": the mean of a column is to stay on one side of a threshold.
struct Constraint {
  int64_t column = 0;
  double sign = 1;  // 1: at least, -1: at most
  double threshold = 0;
};
std::vector<Constraint> parse_constraints(const std::string& text,
                                          const std::vector<std::string>& names);
// One projected ascent step of each multiplier: max(0, l + rate sign (threshold - mean) / spread).
// multipliers: [C]; spreads: [M], the unit in which a violation counts. Moskovitz et al.,
// "Confronting reward model overoptimization with constrained RLHF" (2023), eq. 5. -> [C]
at::Tensor stepped_multipliers(const at::Tensor& multipliers,
                               const std::vector<Constraint>& constraints,
                               const at::Tensor& x,
                               const at::Tensor& spreads,
                               double rate);
// What the constraints add to each row's total: sum of l sign x / spread. -> [P]
at::Tensor constraint_terms(const at::Tensor& multipliers,
                            const std::vector<Constraint>& constraints,
                            const at::Tensor& x,
                            const at::Tensor& spreads);

}  // namespace data
