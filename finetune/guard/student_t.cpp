#include "finetune/guard/student_t.hpp"

#include <c10/util/Exception.h>

#include <cmath>

namespace guard {
namespace {

constexpr int kMostTerms = 500;
constexpr double kSmall = 1e-300;

double away_from_zero(double x) { return std::abs(x) < kSmall ? kSmall : x; }

// The continued fraction of the incomplete beta function (Lentz's method; Numerical Recipes 6.4.5).
double beta_fraction(double a, double b, double x) {
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m < kMostTerms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    value *= c * d;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    value *= c * d;
    if (std::abs(c * d - 1) < 1e-15) break;
  }
  return value;
}

// Regularised: I_x(a, b), in [0, 1].
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double student_t_probability(double t, double freedom) {
  TORCH_CHECK(freedom > 0, "student_t: expected degrees of freedom > 0, got ", freedom);
  const double tail = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
  return t > 0 ? 1 - tail : tail;
}

double student_t_quantile(double probability, double freedom) {
  TORCH_CHECK(probability > 0 && probability < 1,
              "student_t: expected a probability in (0, 1), got ", probability);
  if (probability < 0.5) return -student_t_quantile(1 - probability, freedom);
  double low = 0, high = 1;
  while (student_t_probability(high, freedom) < probability && high < 1e15) high *= 2;
  while (high - low > 1e-10 * high) {
    const double middle = 0.5 * (low + high);
    (student_t_probability(middle, freedom) < probability ? low : high) = middle;
    if (middle == low && middle == high) break;
  }
  return 0.5 * (low + high);
}

}  // namespace guard
