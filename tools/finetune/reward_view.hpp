#pragma once

// --reward_view: on what a differentiable reward is computed.

#include <string>

#include "finetune/task/reward_gradient.hpp"
#include "tools/cli/options.hpp"

namespace tools {

void declare_reward_view(Options& options, std::string& view);
// "whole", "crop", "half"
finetune::RewardView reward_view_of(const std::string& view);

}  // namespace tools
