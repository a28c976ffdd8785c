#include "tools/train_reward/command.hpp"

#include <iostream>

#include "tools/cli/failure.hpp"
#include "tools/train_reward/aesthetic.hpp"
#include "tools/train_reward/examples.hpp"
#include "tools/train_reward/judge_student/command.hpp"
#include "tools/train_reward/pairs.hpp"
#include "tools/train_reward/social.hpp"
#include "tools/train_reward/value.hpp"

namespace tools {
namespace {

const CommandList& rewards_to_train() {
  static const CommandList list = {&kTrainPairs,  &kTrainExamples,     &kTrainAesthetic,
                                   &kTrainSocial, &kTrainJudgeStudent, &kTrainValue};
  return list;
}

int train_reward_command(const std::vector<std::string>& arguments) {
  if (!asks_for_help(arguments))
    return run_command(rewards_to_train(), "laurel train-reward", arguments);
  std::cout << "laurel train-reward <reward> [options]\n\n"
            << command_lines(rewards_to_train(), 12)
            << "\n`laurel train-reward <reward> --help` tells more.\n";
  return arguments.empty() ? kBadInput : 0;
}

}  // namespace

const Command kTrainReward{"train-reward", "fit a reward to ratings, a community's log or a judge",
                           train_reward_command, rewards_to_train, /*has_options=*/false};

}  // namespace tools
