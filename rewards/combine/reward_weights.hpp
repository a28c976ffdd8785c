#pragma once

#include <string>
#include <vector>

namespace rewards {

struct RewardWeight {
  std::string name;
  double weight = 1;
};

// "aesthetic=1,clip_score=0.5" (or with ':' for '='; a name alone weighs 1) in the order given.
// Throws BadInput for an empty specification, a weight that is not a finite number other than 0, a
// name given twice.
std::vector<RewardWeight> parse_reward_weights(const std::string& specification);

}  // namespace rewards
