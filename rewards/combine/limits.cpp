#include "rewards/combine/limits.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/shape.hpp"
#include "data/base/strings.hpp"

using data::BadInput;

namespace rewards {
namespace {

constexpr double kOpen = std::numeric_limits<double>::infinity();

double parse_number(const std::string& text, const std::string& where) {
  const auto value = data::number_of<double>(text);
  if (value && std::isfinite(*value)) return *value;
  throw BadInput(where + ": expected a number, found '" + text + "'");
}

int64_t column_of(const std::string& name,
                  const std::vector<std::string>& names,
                  const std::string& where) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return found - names.begin();
  std::string all;
  for (const auto& known : names) all += (all.empty() ? "" : ", ") + known;
  throw BadInput(where + ": expected one of the rewards in use (" + all + "), found '" + name +
                 "'");
}

// "a, b" -> {"a", "b"}
std::vector<std::string> pieces(const std::string& text) {
  std::vector<std::string> parts;
  for (std::string& part : data::split(text, ',')) {
    part.erase(std::remove(part.begin(), part.end(), ' '), part.end());
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// tanh(artanh(before) + step); the argument stays where tanh still differs from 1.
double equality_multiplier(double before, double step) {
  constexpr double kFarthest = 15;
  return std::tanh(std::clamp(std::atanh(before) + step, -kFarthest, kFarthest));
}

}  // namespace

std::vector<Cap> parse_caps(const std::string& text, const std::vector<std::string>& names) {
  std::vector<Cap> caps(names.size(), Cap{-kOpen, kOpen});
  for (const auto& part : pieces(text)) {
    const std::string where = "caps: '" + part + "'";
    const size_t sign = part.find('='),
                 dots = part.find("..", sign == std::string::npos ? 0 : sign);
    if (sign == std::string::npos || dots == std::string::npos)
      throw BadInput(where + ": expected NAME=LOW..HIGH, either end open, as imagereward=..2");
    Cap& cap = caps[static_cast<size_t>(column_of(part.substr(0, sign), names, where))];
    const std::string low = part.substr(sign + 1, dots - sign - 1), high = part.substr(dots + 2);
    if (!low.empty()) cap.low = parse_number(low, where);
    if (!high.empty()) cap.high = parse_number(high, where);
    if (!(cap.low < cap.high)) throw BadInput(where + ": expected LOW below HIGH");
  }
  return caps;
}

at::Tensor capped(const at::Tensor& x, const std::vector<Cap>& caps) {
  data::check_shape(x, {-1, static_cast<int64_t>(caps.size())}, "capped: x");
  std::vector<double> low, high;
  for (const auto& cap : caps) {
    low.push_back(cap.low);
    high.push_back(cap.high);
  }
  return x.maximum(at::tensor(low, x.options())).minimum(at::tensor(high, x.options()));
}

std::vector<Constraint> parse_constraints(const std::string& text,
                                          const std::vector<std::string>& names) {
  std::vector<Constraint> constraints;
  for (const auto& part : pieces(text)) {
    const std::string where = "constraints: '" + part + "'";
    const size_t sign = part.find_first_of("><=");
    if (part.substr(0, sign) == "kl") continue;
    const bool is_equality = sign != std::string::npos && part[sign] == '=';
    if (sign == std::string::npos || (!is_equality && part.compare(sign + 1, 1, "=") != 0))
      throw BadInput(where +
                     ": expected NAME>=VALUE, NAME<=VALUE or NAME=VALUE, as clip_score>=25");
    constraints.push_back(
        {.column = column_of(part.substr(0, sign), names, where),
         .sign = part[sign] == '<' ? -1.0 : 1.0,
         .threshold = parse_number(part.substr(sign + (is_equality ? 1 : 2)), where),
         .is_equality = is_equality});
  }
  return constraints;
}

at::Tensor stepped_multipliers(const at::Tensor& multipliers,
                               const std::vector<Constraint>& constraints,
                               const at::Tensor& x,
                               const at::Tensor& spreads,
                               double rate) {
  data::check_shape(multipliers, {static_cast<int64_t>(constraints.size())}, "multipliers");
  at::Tensor stepped = multipliers.clone();
  for (size_t c = 0; c < constraints.size(); ++c) {
    const auto& [column, sign, threshold, is_equality] = constraints[c];
    const at::Tensor values = x.select(1, column), finite = values.masked_select(values.isfinite());
    if (finite.numel() == 0) continue;
    const double violation = sign * (threshold - finite.mean().item<double>());
    const auto at = static_cast<int64_t>(c);
    const double before = multipliers[at].item<double>(),
                 step = rate * violation / spreads[column].item<double>();
    stepped[at] = is_equality ? equality_multiplier(before, step) : std::max(0.0, before + step);
  }
  return stepped;
}

at::Tensor constraint_terms(const at::Tensor& multipliers,
                            const std::vector<Constraint>& constraints,
                            const at::Tensor& x,
                            const at::Tensor& spreads) {
  at::Tensor sum = at::zeros({x.size(0)}, x.options());
  for (size_t c = 0; c < constraints.size(); ++c) {
    const auto& [column, sign, threshold, is_equality] = constraints[c];
    const double multiplier = multipliers[static_cast<int64_t>(c)].item<double>();
    if (multiplier != 0)
      sum = sum + x.select(1, column) * (multiplier * sign / spreads[column].item<double>());
  }
  return sum;
}

}  // namespace rewards
