#include "rewards/labels/strength.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace rewards {
namespace {

// row: M votes
Strength strength_of_votes(const double* row, int64_t members) {
  Strength strength;
  double sum = 0, in_favour = 0;
  for (int64_t m = 0; m < members; ++m) {
    if (std::isnan(row[m])) continue;
    ++strength.votes;
    sum += row[m];
    in_favour += row[m] > 0 ? 1 : row[m] < 0 ? 0 : 0.5;
  }
  if (strength.votes == 0) return strength;
  const auto count = static_cast<double>(strength.votes);
  strength.mean = sum / count;
  strength.share = in_favour / count;
  double squares = 0;
  for (int64_t m = 0; m < members; ++m) {
    if (!std::isnan(row[m])) squares += (row[m] - strength.mean) * (row[m] - strength.mean);
  }
  strength.deviation = std::sqrt(squares / count);
  return strength;
}

}  // namespace

std::vector<Strength> strengths_of(const at::Tensor& differences) {
  TORCH_CHECK(differences.dim() == 2 && differences.scalar_type() == at::kDouble,
              "strengths_of: expected [N, M] fp64, got ", differences.sizes());
  const at::Tensor votes = differences.contiguous();
  const int64_t members = votes.size(1);
  std::vector<Strength> strengths;
  for (int64_t i = 0; i < votes.size(0); ++i)
    strengths.push_back(strength_of_votes(votes.const_data_ptr<double>() + i * members, members));
  return strengths;
}

at::Tensor in_equal_units(const at::Tensor& differences) {
  const at::Tensor known = differences.isnan().logical_not();
  const at::Tensor squares = differences.nan_to_num(0.0).square().sum(0);
  const at::Tensor spread = (squares / known.sum(0).clamp_min(1)).sqrt();  // [M]
  return differences / spread.masked_fill(spread.eq(0), 1.0);
}

double normal_preference(const Strength& strength) {
  if (strength.mean == 0) return 0.5;
  if (strength.deviation == 0) return strength.mean > 0 ? 1 : 0;
  return 0.5 * std::erfc(-strength.mean / (strength.deviation * std::sqrt(2.0)));
}

}  // namespace rewards
