#include "rewards/custom/formula_check.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/format.hpp"
#include "data/unicode/utf8.hpp"

namespace rewards {
namespace {

constexpr double kLeastSpread = 1e-6;  // of the largest value
constexpr double kLeastShare = 1e-9;   // below it, a term varies by rounding alone

bool is_constant(const at::Tensor& finite) {
  const double low = finite.min().item<double>(), high = finite.max().item<double>();
  return high - low <= kLeastSpread * std::max(std::abs(low), std::abs(high));
}

}  // namespace

std::vector<double> term_shares(const Expression& expression,
                                const std::vector<at::Tensor>& values) {
  const at::Tensor terms = at::stack(evaluate_terms(expression, values)).to(at::kDouble);  // [K, B]
  const at::Tensor finite = terms.index_select(1, terms.isfinite().all(0).nonzero().view(-1));
  std::vector<double> shares(static_cast<size_t>(terms.size(0)), 0.0);
  if (finite.size(1) == 0) return shares;
  const at::Tensor variances = finite.var(1, /*unbiased=*/false);
  const double sum = variances.sum().item<double>();
  for (size_t k = 0; k < shares.size() && sum > 0; ++k)
    shares[k] = variances[static_cast<int64_t>(k)].item<double>() / sum;
  return shares;
}

std::string formula_fault(const Expression& expression, const std::vector<at::Tensor>& values) {
  const at::Tensor total = evaluate(expression, values).to(at::kDouble);
  const at::Tensor finite = total.masked_select(total.isfinite());
  const double missing =
      1 - static_cast<double>(finite.numel()) / static_cast<double>(total.numel());
  if (missing > kMostNotFinite)
    return data::formatted("it is no finite number on %.0f %% of the pictures (at most %.0f %%)",
                           100 * missing, 100 * kMostNotFinite);
  if (is_constant(finite))
    return data::formatted("it has the same value, %.4g, on all pictures",
                           finite[0].item<double>());
  const auto shares = term_shares(expression, values);
  const auto varying =
      std::count_if(shares.begin(), shares.end(), [](double share) { return share > kLeastShare; });
  const auto largest = std::max_element(shares.begin(), shares.end());
  if (varying < 2 || *largest <= kLargestTermShare) return "";
  const auto& term = expression.terms[static_cast<size_t>(largest - shares.begin())];
  return data::formatted(
      "the term '%s' has %.1f %% of the variance (at most %.0f %%), so the others "
      "do nothing; scale the terms by the facts' spread",
      data::shortened(term.text, 100).c_str(), 100 * *largest, 100 * kLargestTermShare);
}

}  // namespace rewards
