#include "rewards/evaluation/wordings.hpp"

#include <algorithm>
#include <cmath>

#include "rewards/evaluation/grouped_ratio.hpp"

namespace rewards {
namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double variance_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / static_cast<double>(values.size());
}

struct Spreads {
  double over_wordings = 0, over_pictures = 0;  // variances
};

Spreads spreads_of(const WordedItem& item) {
  std::vector<double> means, variances;
  for (size_t k = 0; k < item.scores[0].size(); ++k) {
    std::vector<double> of_picture;
    for (const auto& row : item.scores) of_picture.push_back(row[k]);
    means.push_back(mean_of(of_picture));
    variances.push_back(variance_of(of_picture));
  }
  return {.over_wordings = mean_of(variances), .over_pictures = variance_of(means)};
}

}  // namespace

bool ranking_survives(const WordedItem& item) {
  const auto& first = item.scores[0];
  return std::all_of(item.scores.begin() + 1, item.scores.end(), [&](const auto& row) {
    for (size_t k = 1; k < row.size(); ++k) {
      if ((row[k] < row[0]) != (first[k] < first[0])) return false;
    }
    return true;
  });
}

WordingFigures wording_figures(const std::vector<WordedItem>& items) {
  std::vector<int64_t> groups;
  std::vector<double> survives, over_wordings, over_pictures;
  for (const auto& item : items) {
    groups.push_back(item.group);
    survives.push_back(ranking_survives(item) ? 1 : 0);
    const Spreads spreads = spreads_of(item);
    over_wordings.push_back(spreads.over_wordings);
    over_pictures.push_back(spreads.over_pictures);
  }
  const Interval squared = grouped_ratio(groups, over_wordings, over_pictures);
  return {.items = static_cast<int64_t>(items.size()),
          .survives = grouped_ratio(groups, survives, std::vector<double>(groups.size(), 1)),
          .deviation = {std::sqrt(squared.value), std::sqrt(squared.low), std::sqrt(squared.high)}};
}

}  // namespace rewards
