// laurel finetune distill-cfg: guidance without its cost, and without its loss of diversity.

#include "tools/finetune/distill_cfg_command.hpp"

#include "data/base/error.hpp"
#include "data/device/memory.hpp"
#include "finetune/policy/kl_bound.hpp"
#include "finetune/policy/methods/distill_cfg_loss.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/policy_run.hpp"

namespace tools {
namespace {

constexpr const char* kName = "distill-cfg";

struct DistillCfgCommand : FinetuneCommand {
  finetune::DistillCfgConfig objective;
};

// Of a pair, both images have the same diversity: a prompt needs three.
constexpr int64_t kFewestImages = 3;

void declare_chain(Options& options, finetune::FinetuneConfig& config) {
  options.group("sampling (the same in training)");
  options.integer("sample_num_steps", config.sample_num_steps, "steps of the chain", 1, 1000);
  options.alias("steps", "sample_num_steps");
  options.rare().number("sample_eta", config.sample_eta, "amount of noise; 1: DDPM's", 0, 1);
  options.rare().integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
}

void declare_student_epochs(Options& options, finetune::FinetuneConfig& config) {
  options.group("epochs");
  options.integer("num_epochs", config.num_epochs, "draw, rate, update", 1, 1000000);
  options.alias("num_train_epochs", "num_epochs");
  options.integer("prompts_per_epoch", config.prompts_per_epoch, "prompts", 1, 65536);
  options.integer("images_per_prompt", config.images_per_prompt, "images of each", kFewestImages,
                  65536);
  options.integer("num_inner_epochs", config.num_inner_epochs, "passes over an epoch's images", 1,
                  10000);
  options.alias("train_num_inner_epochs", "num_inner_epochs");
  options.integer("prompts_per_update", config.prompts_per_update, "an optimiser step sees; 0: all",
                  0, 65536);
}

void declare_distillation(Options& options, DistillCfgCommand& command) {
  options.group("objective");
  options.number("guidance_scale", command.objective.guidance_scale,
                 "of the predictions that are imitated; the student samples at 1", 1e-6, 100);
  options.alias("cfg_scale", "guidance_scale");
  options.number("diversity_scale", command.objective.diversity_scale,
                 "weight of the reward's policy gradient; 0: imitation alone", 0, kHuge);
  options.rare().number("clip_range", command.config.clip_range, "of the policy gradient, nats",
                        1e-12, kHuge);
}

void resolve_distillation(DistillCfgCommand& command) {
  finetune::FinetuneConfig& config = command.config;
  config.method =
      finetune::method_with_kl_bound(finetune::distill_cfg_method(command.objective), config);
  config.train_full = command.train == "full";
  command.trained_rewards = rewards::parse_reward_weights(command.reward);
  check_combination(config);
  check_updates(config);
  if (command.output_dir.empty()) command.output_dir = std::string("runs/") + kName;
  if (!command.max_memory.empty()) data::parse_bytes(command.max_memory, "max_memory");
}

int distill_cfg_command(const std::vector<std::string>& arguments) {
  DistillCfgCommand command;
  finetune::FinetuneConfig& config = command.config;
  command.reward = "diversity";
  config.sample_guidance_scale = 1;
  config.prompts_per_update = 2;
  const std::string name = std::string("finetune ") + kName;
  Options options(name,
                  "Teaches the network to draw without guidance as it drew with it, half the cost "
                  "of an image, and to keep the images of a prompt diverse.");
  declare_run(options, command, config);
  declare_max_memory(options, command);
  declare_prompts(options, command);
  declare_combination(options, config);
  declare_chain(options, config);
  declare_student_epochs(options, config);
  declare_distillation(options, command);
  declare_training(options, command, config);
  declare_micro_batch(options, config);
  declare_records(options, command, config, "epochs");
  declare_guard_rewards(options, command);
  declare_guard_kl(options, config);
  declare_ranks(options, command, config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw data::BadInput("laurel " + name + ": unexpected '" + parsed.positional[0] + "'");
  resolve_distillation(command);
  return in_ranks(options.resolved(), command.ranks, [&](const finetune::ProcessGroup& ranks) {
    return run_policy(ranks, command, options);
  });
}

}  // namespace

const Command kDistillCfg{kName, "guided predictions without guidance, rewarded for diversity",
                          distill_cfg_command};

}  // namespace tools
