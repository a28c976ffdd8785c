#include <iostream>

#include "data/base/error.hpp"
#include "tools/commands.hpp"
#include "tools/train_reward/subcommands.hpp"

namespace tools {

int cmd_train_reward(const std::vector<std::string>& arguments) {
  const std::string usage =
      "laurel train-reward <reward> [options]\n\n"
      "  aesthetic   LAION's head on ratings of images\n"
      "  social      a CLIP on a community's log of views, likes and reuses\n"
      "  lvlm        a student of a vision-language judge's judgements (laurel judge)\n\n"
      "`laurel train-reward <reward> --help` tells more.\n";
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    std::cout << usage;
    return arguments.empty() ? 2 : 0;
  }
  const std::string& name = arguments[0];
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (name == "aesthetic") return train_reward_aesthetic(rest);
  if (name == "social") return train_reward_social(rest);
  if (name == "lvlm") return train_reward_lvlm(rest);
  const std::string near = data::nearest(name, {"aesthetic", "social", "lvlm"});
  throw data::BadInput("laurel train-reward: expected aesthetic, social or lvlm, found '" + name +
                       "'" + (near.empty() ? "" : "; did you mean " + near + "?"));
}

}  // namespace tools
