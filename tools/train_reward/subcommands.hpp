#pragma once

// The subcommands of `laurel train-reward`.

#include <string>
#include <vector>

namespace tools {

int train_reward_aesthetic(const std::vector<std::string>& arguments);
int train_reward_social(const std::vector<std::string>& arguments);
int train_reward_lvlm(const std::vector<std::string>& arguments);

}  // namespace tools
