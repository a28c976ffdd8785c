#include "rewards/labels/cross_fit.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <limits>

#include "rewards/labels/strength.hpp"
#include "rewards/pairs/davidson.hpp"
#include "rewards/pairs/folds.hpp"

namespace rewards {
namespace {

Comparisons labelled_comparisons(const at::Tensor& differences,
                                 const std::vector<LabelledPair>& pairs) {
  std::vector<int64_t> outcomes;
  std::vector<double> weights;
  for (const auto& pair : pairs) {
    outcomes.push_back(pair.p > 0.5 ? kWonA : pair.p < 0.5 ? kWonB : kTied);
    weights.push_back(pair.weight);
  }
  const auto count = static_cast<int64_t>(pairs.size());
  const at::Tensor outcome = at::tensor(outcomes, at::kLong);
  return {.differences = in_equal_units(differences),
          .outcomes = outcome,
          .may_tie = at::full({count}, outcome.eq(kTied).any().item<bool>(), at::kBool),
          .people = at::zeros({count}, at::kLong),
          .weights = at::tensor(weights, at::kDouble)};
}

// The pairs to judge and those to learn from.
struct FoldRows {
  at::Tensor held_out, outside;  // [..] int64
};
FoldRows rows_of_fold(const Folds& folds, const std::vector<ChoiceImages>& pairs, int64_t fold) {
  std::vector<int64_t> held_out, outside;
  for (size_t i = 0; i < pairs.size(); ++i) {
    if (is_held_out(folds, pairs[i], fold)) held_out.push_back(static_cast<int64_t>(i));
    if (is_outside(folds, pairs[i], fold)) outside.push_back(static_cast<int64_t>(i));
  }
  return {at::tensor(held_out, at::kLong), at::tensor(outside, at::kLong)};
}

}  // namespace

CrossFit cross_fitted_votes(const at::Tensor& differences,
                            const std::vector<LabelledPair>& pairs,
                            int64_t images,
                            const CrossFitting& options) {
  const auto count = static_cast<int64_t>(pairs.size());
  TORCH_CHECK(differences.dim() == 2 && differences.size(0) == count,
              "cross_fitted_votes: expected differences of ", count, " pairs, got ",
              differences.sizes());
  std::vector<ChoiceImages> places;
  for (const auto& pair : pairs) places.push_back({pair.a, pair.b, pair.prompt});
  const Folds folds = divide_into_folds(images, places, options.folds);
  CrossFit fit{
      at::full({count, options.members}, std::numeric_limits<double>::quiet_NaN(), at::kDouble),
      folds.unit};
  const Comparisons all = labelled_comparisons(differences, pairs);
  auto generator = at::detail::createCPUGenerator(options.seed);
  for (int64_t fold = 0; fold < folds.count; ++fold) {
    const FoldRows rows = rows_of_fold(folds, places, fold);
    if (rows.held_out.size(0) == 0 || rows.outside.size(0) == 0) continue;
    const Comparisons judged = rows_of(all, rows.held_out);
    for (int64_t m = 0; m < options.members; ++m) {
      const at::Tensor drawn =
          at::randint(rows.outside.size(0), {rows.outside.size(0)}, generator, at::kLong);
      const Comparisons learnt = rows_of(all, rows.outside.index_select(0, drawn));
      const DavidsonFit member =
          fit_davidson(learnt, {.shared = options.ridge}, zero_fit(learnt), 1e-6);
      fit.votes.select(1, m).index_copy_(0, rows.held_out, margins(member, judged));
    }
  }
  return fit;
}

}  // namespace rewards
