#pragma once

#include <string>
#include <vector>

#include "rewards/registry/registry.hpp"
#include "tools/finetune/training_options.hpp"

namespace tools {

// By which rewards a run is judged: those of --guard_rewards; `auto`: of what is evaluated, and in
// the built-in world of the embedded rewards, and of --define, what is not trained, is no gold
// reward, no measure of pixels, and shares no weights with a trained one. Outside programs and
// servers are taken where they are evaluated in any case. None where no reward is trained, or the
// guard is off. evaluated: those of --eval_rewards. Throws BadInput as origin_of.
std::vector<std::string> choose_guard_rewards(const TrainingCommand& command,
                                              const std::string& guard_mode,
                                              const std::vector<rewards::RewardWeight>& evaluated,
                                              const rewards::RewardSources& sources,
                                              bool synthetic);

}  // namespace tools
