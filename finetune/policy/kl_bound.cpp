#include "finetune/policy/kl_bound.hpp"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "finetune/policy/methods/policy_methods.hpp"

namespace finetune {
namespace {

constexpr const char* kForm = "kl<=";

[[noreturn]] void refuse(const std::string& method, const std::string& lack) {
  std::vector<std::string> bounded;
  for (const auto& one : policy_methods()) {
    if (one.with_kl_coefficient) bounded.push_back(one.name);
  }
  throw data::BadInput("constraints: expected no bound on the KL, since " + method + lack +
                       "; a bound goes with " + data::joined(bounded, ", "));
}

}  // namespace

std::optional<double> parse_kl_bound(const std::string& constraints) {
  std::optional<double> bound;
  for (std::string& part : data::split(constraints, ',')) {
    part.erase(std::remove(part.begin(), part.end(), ' '), part.end());
    if (part.substr(0, part.find_first_of("><=")) != "kl") continue;
    const std::string where = "constraints: '" + part + "': ";
    const auto value = part.starts_with(kForm)
                           ? data::number_of<double>(part.substr(std::string(kForm).size()))
                           : std::nullopt;
    if (!value || !(*value > 0 && std::isfinite(*value)))
      throw data::BadInput(where + "expected kl<=NATS, a number above 0, as kl<=20");
    if (bound) throw data::BadInput(where + "expected one bound on the KL, found another before");
    bound = value;
  }
  return bound;
}

double stepped_kl_factor(double factor, double kl, double bound, double rate) {
  TORCH_CHECK(!std::isnan(kl) && bound > 0 && rate >= 0 && factor >= 1, "stepped_kl_factor: kl ",
              kl, ", bound ", bound, ", rate ", rate, ", factor ", factor);
  return std::max(1.0, factor * std::exp(rate * std::clamp(kl / bound - 1, -1.0, 1.0)));
}

PolicyMethod method_with_kl_bound(const PolicyMethod& method, const FinetuneConfig& config) {
  const auto bound = parse_kl_bound(config.constraints);
  if (!bound) return method;
  if (!method.with_kl_coefficient) refuse(method.name, " has no coefficient of the KL");
  if (config.offline)
    throw data::BadInput(
        "constraints: expected no bound on the KL with --offline, whose images are drawn by the "
        "starting model; leave one of them out");
  return method.with_kl_coefficient(*bound);
}

void refuse_kl_bound(const TrainingConfig& config, const std::string& method) {
  if (parse_kl_bound(config.constraints)) refuse(method, " measures the KL at evaluations alone");
}

}  // namespace finetune
