#include "tools/finetune/step_credit_options.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <memory>

#include "data/base/error.hpp"
#include "finetune/distill/lcd.hpp"
#include "finetune/policy/state_values.hpp"
#include "finetune/policy/tree.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/cli/latent_space.hpp"
#include "tools/cli/models.hpp"
#include "tools/finetune/value_learner.hpp"

using data::BadInput;

namespace tools {
namespace {

constexpr const char* kLearntWord = "learn";  // in place of a folder

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
    return network_values(*network, states, task);
  };
  return {.of = of, .reads_expected = network->config.reads_expected};
}

// The reward of the picture that a distilled student makes of the state in one pass.
finetune::StateValue student_value(const std::string& path,
                                   const finetune::TrainingTask& task,
                                   double guidance_scale) {
  ModelConfig model;
  model.model = path;
  diffusion::Pipeline student = open_model(model);
  const std::string difference =
      rewards::latent_space_difference(latent_space_of(*task.pipeline), latent_space_of(student));
  if (!difference.empty())
    throw BadInput("--step_student " + path + ": expected the latents of the model in training, " +
                   "found " + difference);
  move_to(student, task.device);
  const auto schedule = finetune::lcd_schedule(diffusion::make_schedule(student.scheduler),
                                               student.scheduler.original_inference_steps,
                                               student.scheduler.timestep_scaling);
  const auto of = [network = student.network, schedule, &task,
                   guidance_scale](const finetune::StateBatch& states) {
    const int64_t count = states.x.size(0);
    const auto on_device = at::TensorOptions(states.x.device());
    diffusion::Conditioning conditions;
    conditions.text = finetune::encode(task, states.prompts);
    conditions.negative = finetune::unconditional(task);
    conditions.time_ids = finetune::size_conditions(task);
    conditions.guidance_w = at::full({count}, guidance_scale - 1, on_device);
    const at::Tensor t = at::full({count}, std::lround(states.timestep),
                                  on_device.dtype(at::kLong)),
                     x0 = finetune::consistency(network, schedule, states.x, t, conditions);
    return finetune::picture_rewards(task, x0, states.prompts);
  };
  return {.of = of, .reads_expected = false};
}

// Who says what a state is worth.
struct StepValueKind {
  const char* name;
  const char* option;  // that names its network; nullptr: it has none
  std::string StepCreditConfig::*path;
  finetune::StateValue (*make)(const StepCreditConfig& config,
                               const finetune::TrainingTask& task,
                               double guidance_scale);
};

const std::vector<StepValueKind>& step_value_kinds() {
  using Config = StepCreditConfig;
  using Task = finetune::TrainingTask;
  static const std::vector<StepValueKind> kinds = {
      {"none", nullptr, nullptr,
       [](const Config&, const Task&, double) { return finetune::StateValue(); }},
      {"value", "step_value", &Config::step_value,
       [](const Config& config, const Task& task, double) {
         if (config.step_value == kLearntWord) return finetune::StateValue();  // comes later
         return network_value(config.step_value, "--step_value", task);
       }},
      {"expected", nullptr, nullptr,
       [](const Config&, const Task& task, double) {
         return finetune::expected_picture_value(task);
       }},
      {"student", "step_student", &Config::step_student,
       [](const Config& config, const Task& task, double guidance_scale) {
         return student_value(config.step_student, task, guidance_scale);
       }}};
  return kinds;
}

bool learns_value(const StepCreditConfig& config) {
  return config.step_value == kLearntWord || config.baseline_value == kLearntWord;
}

// Throws BadInput for a kind without its network, and for the network of another kind.
void check_networks(const StepCreditConfig& config) {
  for (const auto& kind : step_value_kinds()) {
    if (kind.option == nullptr) continue;
    const bool chosen = config.step_rewards == kind.name;
    const std::string option = std::string("--") + kind.option;
    if (chosen && (config.*kind.path).empty())
      throw BadInput("step_rewards: " + config.step_rewards +
                     ": expected a network, found none; name one with " + option);
    if (!chosen && !(config.*kind.path).empty())
      throw BadInput(option + ": expected --step_rewards " + kind.name + " beside it, found " +
                     config.step_rewards + "; leave it out");
  }
}

}  // namespace

void declare_step_credit(Options& options, StepCreditConfig& config) {
  std::vector<std::string> names;
  for (const auto& kind : step_value_kinds()) names.push_back(kind.name);
  options.rare().choice("step_rewards", config.step_rewards, names,
                        "ddpo, dpok, grpo: rewards of steps, by what a state is worth");
  options.rare().text("step_value", config.step_value,
                      "of step_rewards value: folder of laurel train-reward value, or learn: the "
                      "run learns one of its own images as it goes");
  options.rare().text("step_student", config.step_student,
                      "of step_rewards student: model by laurel distill");
  options.rare().number("step_reward_scale", config.step_reward_scale,
                        "alpha: of the step rewards beside the image's", 0, 1e6);
  options.rare().flag("shuffle_step_rewards", config.shuffle_step_rewards,
                      "each trajectory's in random order: a control");
  options.rare().text("baseline_value", config.baseline_value,
                      "ddpo, dpok, grpo: value network whose value of a state is the baseline; or "
                      "learn");
  options.rare().integer("value_updates", config.learn.updates,
                         "of the value that is learnt, after each epoch", 1, 1'000'000);
  options.rare().integer("value_replay_epochs", config.learn.replay_epochs,
                         "the last epochs, from which it is learnt", 1, 100'000);
  options.rare().integer("value_batch_size", config.learn.batch_size, "states of an update of it",
                         2, 1'000'000);
  options.rare().number("value_learning_rate", config.learn.learning_rate, "of it", 1e-9, 1);
}

void check_step_credit(const StepCreditConfig& config, const finetune::FinetuneConfig& run) {
  check_networks(config);
  for (const auto& [key, given] : {std::pair("step_rewards", config.step_rewards != "none"),
                                   std::pair("baseline_value", !config.baseline_value.empty())}) {
    if (!given) continue;
    if (run.method.couples_trajectories)
      throw BadInput(std::string(key) + ": " + run.method.name +
                     " compares whole trajectories, whose steps have no rewards of their own; "
                     "leave it out, or take ddpo, dpok or grpo");
    if (finetune::branch_sizes(run).at(0) > 1)
      throw BadInput(std::string(key) +
                     ": expected images without common steps, found --branch; leave one of them "
                     "out");
  }
  if (learns_value(config) && run.offline)
    throw BadInput(
        "offline: expected new images in each epoch, which the value that is learnt is "
        "measured on, found --offline; leave it out, or name a value network");
}

finetune::StepCredit make_step_credit(const StepCreditConfig& config,
                                      const finetune::TrainingTask& task,
                                      const finetune::FinetuneConfig& run) {
  finetune::StepCredit credit{
      .steps = {}, .scale = config.step_reward_scale, .shuffled = config.shuffle_step_rewards};
  for (const auto& kind : step_value_kinds())
    if (config.step_rewards == kind.name)
      credit.steps = kind.make(config, task, run.sample_guidance_scale);
  if (!config.baseline_value.empty() && config.baseline_value != kLearntWord)
    credit.baseline = network_value(config.baseline_value, "--baseline_value", task);
  if (!learns_value(config)) return credit;
  const LearntValue learnt = make_learnt_value(task, config.learn, run.seed);
  credit.learner = learnt.learner;
  if (config.step_value == kLearntWord) credit.steps = learnt.value;
  if (config.baseline_value == kLearntWord) credit.baseline = learnt.value;
  return credit;
}

}  // namespace tools
