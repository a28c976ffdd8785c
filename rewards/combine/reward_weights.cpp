#include "rewards/combine/reward_weights.hpp"

#include <cmath>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"

using data::BadInput;

namespace rewards {
namespace {

double parse_weight(const std::string& text, const std::string& where) {
  const auto value = data::number_of<double>(text);
  if (value && std::isfinite(*value) && *value != 0) return *value;
  throw BadInput(where + ": expected a number other than 0 as the weight, found '" + text + "'");
}

}  // namespace

std::vector<RewardWeight> parse_reward_weights(const std::string& specification) {
  std::vector<RewardWeight> weights;
  for (const std::string& part : data::split(specification, ',')) {
    const size_t sign = part.find_first_of("=:");
    RewardWeight weight{.name = part.substr(0, sign)};
    const std::string where = "reward '" + part + "'";
    if (weight.name.empty())
      throw BadInput(where + ": expected NAME or NAME=WEIGHT, as in aesthetic=1,clip_score=0.5");
    if (sign != std::string::npos) weight.weight = parse_weight(part.substr(sign + 1), where);
    for (const auto& other : weights) {
      if (other.name == weight.name)
        throw BadInput(where + ": '" + weight.name + "' is given twice; give it once");
    }
    weights.push_back(weight);
  }
  if (weights.empty())
    throw BadInput("rewards: expected at least one NAME or NAME=WEIGHT, found nothing");
  return weights;
}

}  // namespace rewards
