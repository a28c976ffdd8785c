#include "tools/finetune/learnt_weights_options.hpp"

#include <cmath>

#include "data/base/error.hpp"
#include "rewards/loader/members.hpp"

using data::BadInput;

namespace tools {

void declare_learnt_weights(Options& options,
                            TrainingCommand& command,
                            finetune::TrainingConfig& config) {
  options.rare().text("primary", command.primary,
                      "the reward that counts, in place of reward; with auxiliary");
  options.rare().text("auxiliary", command.auxiliary,
                      "rewards whose weights are learnt: brightness,clip_score");
  options.rare().number("primary_share", config.primary_share,
                        "of a prompt's images that the primary rates", 0.001, 1);
  options.rare().number("auxiliary_rate", config.auxiliary_rate, "of learnt weights, an epoch", 0,
                        1);
  options.rare().number("auxiliary_decay", config.auxiliary_decay, "of learnt weights, an epoch", 0,
                        1);
  options.rare().number("largest_auxiliary", config.largest_auxiliary, "that is learnt", 0, kHuge);
}

void resolve_learnt_weights(TrainingCommand& command,
                            finetune::TrainingConfig& config,
                            const Options& options,
                            int64_t images_per_prompt) {
  const bool primary = !command.primary.empty(), auxiliary = !command.auxiliary.empty();
  if (!primary && !auxiliary && config.primary_share == 1) return;
  if (!primary || !auxiliary)
    throw BadInput(std::string(primary ? "auxiliary" : "primary") +
                   ": expected rewards, as in --primary lvlm --auxiliary brightness,clip_score, "
                   "found none");
  const std::string all = command.primary + "," + command.auxiliary;
  if (all.find_first_of("=:") != std::string::npos ||
      command.primary.find(',') != std::string::npos)
    throw BadInput("primary, auxiliary: expected one name and several, without weights, found '" +
                   all + "'");
  if (rewards::reward_of_members(command.primary))
    throw BadInput("primary: expected one reward, found the members of one, '" + command.primary +
                   "'; name the reward itself");
  const double rated = std::ceil(config.primary_share * static_cast<double>(images_per_prompt));
  if (rated < 2)
    throw BadInput("primary_share: expected a share of at least two of a prompt's " +
                   std::to_string(images_per_prompt) + " images; raise one of them");
  command.reward = all;
  config.learn_weights = true;
  if (!options.given("normalise_rewards")) config.normalise_rewards = "pooled";
}

}  // namespace tools
