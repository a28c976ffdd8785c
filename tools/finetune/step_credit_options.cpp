#include "tools/finetune/step_credit_options.hpp"

#include <ATen/ATen.h>

#include <memory>

#include "data/base/error.hpp"
#include "finetune/policy/state_values.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/cli/latent_space.hpp"

using data::BadInput;

namespace tools {
namespace {

// Who says what a state is worth.
struct StepValueKind {
  const char* name;
  bool reads_network;
  finetune::StateValue (*make)(const StepCreditConfig& config, const finetune::TrainingTask& task);
};

// Throws BadInput where the network was trained on other rewards than the task's.
void check_rewards(const rewards::ValueNetwork& network,
                   const std::string& where,
                   const finetune::TrainingTask& task) {
  const auto trained = rewards::parse_reward_weights(network.config.reward);
  bool same = trained.size() == task.rewards.size();
  for (size_t m = 0; same && m < trained.size(); ++m)
    same = trained[m].name == task.rewards[m].reward.info.name &&
           trained[m].weight == task.rewards[m].weight;
  if (same) return;
  throw BadInput(where +
                 ": expected the value of the rewards and weights of --reward, found "
                 "that of " +
                 network.config.reward + "; train one for these rewards");
}

finetune::StateValue network_value(const std::string& path,
                                   const std::string& option,
                                   const finetune::TrainingTask& task) {
  const auto network =
      std::make_shared<rewards::ValueNetwork>(open_value_network(path, option, *task.pipeline));
  check_rewards(*network, option + " " + path, task);
  const auto of = [network, &task](const finetune::StateBatch& states) {
    const std::vector<std::string> words = [&] {
      std::vector<std::string> texts;
      for (const auto& prompt : states.prompts) texts.push_back(prompt.text);
      return texts;
    }();
    const at::Device device = states.x.device();
    const at::Tensor text = text_means(*task.pipeline, {words.begin(), words.end()});
    return rewards::value_of(*network, {.latents = states.x,
                                        .expected = states.x0,
                                        .timesteps = at::full({states.x.size(0)}, states.timestep,
                                                              at::TensorOptions(device)),
                                        .text = text.to(device)});
  };
  return {.of = of, .reads_expected = network->config.reads_expected};
}

const std::vector<StepValueKind>& step_value_kinds() {
  static const std::vector<StepValueKind> kinds = {
      {"none", false,
       [](const StepCreditConfig&, const finetune::TrainingTask&) {
         return finetune::StateValue();
       }},
      {"value", true,
       [](const StepCreditConfig& config, const finetune::TrainingTask& task) {
         return network_value(config.step_value, "--step_value", task);
       }},
      {"expected", false, [](const StepCreditConfig&, const finetune::TrainingTask& task) {
         return finetune::expected_picture_value(task);
       }}};
  return kinds;
}

const StepValueKind& kind_of(const StepCreditConfig& config) {
  for (const auto& kind : step_value_kinds())
    if (config.step_rewards == kind.name) return kind;
  throw BadInput("step_rewards: unknown '" + config.step_rewards + "'");
}

}  // namespace

void declare_step_credit(Options& options, StepCreditConfig& config) {
  std::vector<std::string> names;
  for (const auto& kind : step_value_kinds()) names.push_back(kind.name);
  options.rare().choice("step_rewards", config.step_rewards, names,
                        "ddpo, dpok, grpo: rewards of steps, by what a state is worth");
  options.rare().text("step_value", config.step_value,
                      "of step_rewards value: folder of laurel train-reward value");
  options.rare().number("step_reward_scale", config.step_reward_scale,
                        "alpha: of the step rewards beside the image's", 0, 1e6);
  options.rare().flag("shuffle_step_rewards", config.shuffle_step_rewards,
                      "each trajectory's in random order: a control");
  options.rare().text("baseline_value", config.baseline_value,
                      "ddpo, dpok, grpo: value network whose value of a state is the baseline");
}

void check_step_credit(const StepCreditConfig& config, const finetune::FinetuneConfig& run) {
  const bool network = kind_of(config).reads_network;
  if (network && config.step_value.empty())
    throw BadInput(
        "step_rewards: value: expected a network, found none; name one with "
        "--step_value (laurel train-reward value)");
  if (!network && !config.step_value.empty())
    throw BadInput("step_value: expected --step_rewards value beside it, found " +
                   config.step_rewards + "; leave it out");
  for (const auto& [key, given] : {std::pair("step_rewards", config.step_rewards != "none"),
                                   std::pair("baseline_value", !config.baseline_value.empty())}) {
    if (!given) continue;
    if (run.method.couples_trajectories)
      throw BadInput(std::string(key) + ": " + run.method.name +
                     " compares whole trajectories, whose steps have no rewards of their own; "
                     "leave it out, or take ddpo, dpok or grpo");
    if (run.branch.size() > 1)
      throw BadInput(std::string(key) +
                     ": expected images without common steps, found --branch; leave one of them "
                     "out");
  }
}

finetune::StepCredit make_step_credit(const StepCreditConfig& config,
                                      const finetune::TrainingTask& task) {
  finetune::StepCredit credit{.steps = kind_of(config).make(config, task),
                              .scale = config.step_reward_scale,
                              .shuffled = config.shuffle_step_rewards};
  if (!config.baseline_value.empty())
    credit.baseline = network_value(config.baseline_value, "--baseline_value", task);
  return credit;
}

}  // namespace tools
