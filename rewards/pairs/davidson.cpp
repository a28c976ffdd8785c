#include "rewards/pairs/davidson.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/base/shape.hpp"

namespace rewards {
namespace {

constexpr int kMostSteps = 100;        // of Newton's method
constexpr int kMostDirections = 1000;  // of a step
constexpr double kSufficient = 1e-4;   // Armijo's
constexpr double kRounding = 1e-13;    // of a value
constexpr double kFirstLogNu = -1;     // where `start` has no ties
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What the fit varies.
struct Point {
  at::Tensor shared;  // [F]
  at::Tensor own;     // [P, F]
  at::Tensor log_nu;  // []
};

double dot(const Point& a, const Point& b) {
  return ((a.shared * b.shared).sum() + (a.own * b.own).sum() + a.log_nu * b.log_nu).item<double>();
}
Point combined(const Point& a, double times, const Point& b) {  // a + times b
  return {a.shared + times * b.shared, a.own + times * b.own, a.log_nu + times * b.log_nu};
}

// log p of the three answers. z: [N] -> [N, 3]
at::Tensor log_probabilities(const at::Tensor& z, double log_nu, const at::Tensor& may_tie) {
  const at::Tensor tie = at::full_like(z, log_nu).masked_fill(may_tie.logical_not(), -kInfinity);
  return at::log_softmax(at::stack({z / 2, -z / 2, tie}, 1), 1);
}

// 1 where a won, -1 where b won, 0 of ties. -> [N] fp64
at::Tensor signs_of(const Comparisons& data) {
  return data.outcomes.eq(kWonA).to(at::kDouble) - data.outcomes.eq(kWonB).to(at::kDouble);
}

// The answers' log p, at their margins. z: [N] -> [N, 3]
at::Tensor answer_log_probabilities(const at::Tensor& z, double log_nu, const Comparisons& data) {
  return log_probabilities(data.margins.defined() ? z - data.margins * signs_of(data) : z, log_nu,
                           data.may_tie);
}

class Problem {
 public:
  Problem(const Comparisons& data, const Ridges& ridges)
      : data_(data),
        ridges_(ridges),
        differ_(std::isfinite(ridges.own)),
        ties_((data.outcomes.eq(kTied)).any().item<bool>()) {}

  bool has_ties() const { return ties_; }

  double value(const Point& x) const {
    const double loss =
        data_.weights.dot(answer_losses(z_of(x), log_nu_of(x), data_)).item<double>();
    double penalty = 0.5 * ridges_.shared * x.shared.square().sum().item<double>();
    if (differ_) penalty += 0.5 * ridges_.own * x.own.square().sum().item<double>();
    return loss + penalty;
  }

  // The gradient; keeps the second derivatives at x for times_hessian.
  Point gradient(const Point& x) {
    const at::Tensor p = answer_log_probabilities(z_of(x), log_nu_of(x), data_).exp();  // [N, 3]
    const at::Tensor tie = p.select(1, kTied), lead = p.select(1, kWonA) - p.select(1, kWonB);
    const at::Tensor decided = 1 - tie, w = data_.weights;
    const at::Tensor won = signs_of(data_);
    zz_ = w * (decided - lead.square()) / 4;
    zt_ = -w * tie * lead / 2;
    tt_ = (w * tie * decided).sum();
    set_diagonal(x);
    const at::Tensor by_nu = (w * (tie - data_.outcomes.eq(kTied).to(at::kDouble))).sum();
    return pulled_back(w * (lead - won) / 2, by_nu, x);
  }

  Point times_hessian(const Point& v) const {
    const at::Tensor z = z_of(v);
    return pulled_back(zz_ * z + zt_ * v.log_nu, zt_.dot(z) + tt_ * v.log_nu, v);
  }

  // v divided by the diagonal of the second derivatives.
  Point preconditioned(const Point& v) const {
    return {v.shared / diagonal_.shared, v.own / diagonal_.own, v.log_nu / diagonal_.log_nu};
  }

 private:
  at::Tensor z_of(const Point& x) const {
    at::Tensor z = data_.differences.mv(x.shared);
    if (differ_) z = z + (data_.differences * x.own.index_select(0, data_.people)).sum(1);
    return z;
  }
  double log_nu_of(const Point& x) const { return ties_ ? x.log_nu.item<double>() : -kInfinity; }
  void set_diagonal(const Point& like) {
    const at::Tensor squares = data_.differences.square() * zz_.unsqueeze(1);  // [N, F]
    diagonal_ = {squares.sum(0) + ridges_.shared, at::ones_like(like.own),
                 ties_ ? tt_ + 1e-12 : at::ones_like(tt_)};
    if (differ_)
      diagonal_.own = at::zeros_like(like.own).index_add(0, data_.people, squares) + ridges_.own;
  }
  // From derivatives by z and nu to those by the point, plus the ridges times `x`.
  Point pulled_back(const at::Tensor& by_z, const at::Tensor& by_nu, const Point& x) const {
    Point result{data_.differences.t().mv(by_z) + ridges_.shared * x.shared, at::zeros_like(x.own),
                 ties_ ? by_nu : at::zeros_like(by_nu)};
    if (differ_)
      result.own =
          ridges_.own * x.own +
          at::zeros_like(x.own).index_add(0, data_.people, data_.differences * by_z.unsqueeze(1));
    return result;
  }

  const Comparisons& data_;
  Ridges ridges_;
  bool differ_, ties_;
  at::Tensor zz_, zt_, tt_;  // weighted second derivatives: [N], [N], []
  Point diagonal_;           // of the second derivatives
};

// An approximate solution of H s = -g by preconditioned conjugate gradients.
Point newton_step(const Problem& problem, const Point& g, double tolerance) {
  Point step = combined(g, -1, g), residual = combined(step, -1, g);  // 0, -g
  Point y = problem.preconditioned(residual), direction = y;
  double along = dot(residual, y);
  const double enough = tolerance * tolerance * dot(g, g);
  for (int i = 0; i < kMostDirections && dot(residual, residual) > enough; ++i) {
    const Point bent = problem.times_hessian(direction);
    const double length = along / dot(direction, bent);
    if (!std::isfinite(length)) break;
    step = combined(step, length, direction);
    residual = combined(residual, -length, bent);
    y = problem.preconditioned(residual);
    const double next = dot(residual, y);
    direction = combined(y, next / along, direction);
    along = next;
  }
  return step;
}

// x + t step, t halved until the value falls enough; x when it does not.
Point moved(const Problem& problem, const Point& x, const Point& step, double slope) {
  const double before = problem.value(x), enough = before + kRounding * std::abs(before);
  for (double t = 1; t > 1e-10; t /= 2) {
    Point next = combined(x, t, step);
    if (problem.value(next) <= enough + kSufficient * t * slope) return next;
  }
  return x;
}

void check(const Comparisons& data) {
  data::check_shape(data.differences, {-1, -1}, "davidson: differences");
  const int64_t n = data.differences.size(0);
  data::check_shape(data.outcomes, {n}, "davidson: outcomes");
  data::check_shape(data.may_tie, {n}, "davidson: may_tie");
  data::check_shape(data.people, {n}, "davidson: people");
  data::check_shape(data.weights, {n}, "davidson: weights");
  if (data.margins.defined()) data::check_shape(data.margins, {n}, "davidson: margins");
}

}  // namespace

Comparisons rows_of(const Comparisons& all, const at::Tensor& rows) {
  return {.differences = all.differences.index_select(0, rows),
          .outcomes = all.outcomes.index_select(0, rows),
          .may_tie = all.may_tie.index_select(0, rows),
          .people = all.people.index_select(0, rows),
          .weights = all.weights.index_select(0, rows),
          .people_count = all.people_count,
          .margins = all.margins.defined() ? all.margins.index_select(0, rows) : at::Tensor()};
}

DavidsonFit zero_fit(const Comparisons& data) {
  const auto options = data.differences.options();
  return {.shared = at::zeros({data.differences.size(1)}, options),
          .own = at::zeros({data.people_count, data.differences.size(1)}, options)};
}

at::Tensor margins(const DavidsonFit& fit, const Comparisons& data) {
  return (data.differences * (fit.shared + fit.own.index_select(0, data.people))).sum(1);
}

at::Tensor answer_losses(const at::Tensor& z, double log_nu, const Comparisons& data) {
  return -answer_log_probabilities(z, log_nu, data)
              .gather(1, data.outcomes.unsqueeze(1))
              .squeeze(1);
}

DavidsonFit fit_davidson(const Comparisons& data,
                         const Ridges& ridges,
                         const DavidsonFit& start,
                         double tolerance) {
  check(data);
  TORCH_CHECK(ridges.shared > 0 && ridges.own > 0, "davidson: expected ridges above 0");
  Problem problem(data, ridges);
  const auto scalar = [&](double value) { return at::full({}, value, data.differences.options()); };
  Point x{start.shared, std::isfinite(ridges.own) ? start.own : at::zeros_like(start.own),
          scalar(!problem.has_ties()           ? 0
                 : std::isfinite(start.log_nu) ? start.log_nu
                                               : kFirstLogNu)};
  const Point zero{at::zeros_like(x.shared), at::zeros_like(x.own), x.log_nu};
  const Point at_zero = problem.gradient(zero);
  const double scale = std::sqrt(dot(at_zero, at_zero));
  for (int step = 0; step < kMostSteps; ++step) {
    const Point g = problem.gradient(x);
    const double size = std::sqrt(dot(g, g));
    if (size <= tolerance * scale || size == 0) break;
    const Point direction = newton_step(problem, g, std::clamp(std::sqrt(size / scale), 1e-8, 0.1));
    const Point next = moved(problem, x, direction, dot(g, direction));
    if (next.shared.is_same(x.shared)) break;  // no step lowers the value: rounding
    x = next;
  }
  return {.shared = x.shared,
          .own = x.own,
          .log_nu = problem.has_ties() ? x.log_nu.item<double>() : -kInfinity};
}

}  // namespace rewards
