#include "tools/finetune/policy_options.hpp"

#include <algorithm>
#include <sstream>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/base/strings.hpp"
#include "data/device/memory.hpp"
#include "diffusion/sampling/step_kinds.hpp"
#include "finetune/policy/kl_bound.hpp"
#include "finetune/policy/tree.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/finetune/learnt_weights_options.hpp"
#include "tools/finetune/methods/method_options.hpp"

namespace tools {
namespace {

void declare_edits(Options& options, FinetuneCommand& command) {
  options.text("edits", command.edits, "models that edit, in place of prompts: folder or JSONL");
  options.rare().text("validation_edits", command.validation_edits, "the same, not trained on");
  options.rare().text("request", command.request, "what the edits are to earn; auto: the most");
  options.rare().number("image_guidance_scale", command.image_guidance_scale, "1: none", 0, 100);
}

void declare_sampling(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("sampling (the same in training)");
  options.integer("sample_num_steps", config.sample_num_steps, "steps of the chain", 1, 1000);
  options.alias("steps", "sample_num_steps");
  options.rare().number("sample_eta", config.sample_eta,
                        "amount of noise; ddim: 1 is DDPM's [by step_kind]", 0, 1);
  options.rare().choice("step_kind", config.step_kind, diffusion::step_kind_names(),
                        "noise of a step; all but ddim on flow matching");
  options.number("sample_guidance_scale", config.sample_guidance_scale, "1: no guidance", 0, 100);
  options.alias("guidance_scale", "sample_guidance_scale");
  options.alias("cfg_scale", "sample_guidance_scale");
  options.rare().number("sigma_min", config.sigma_min, "floor of a step's noise", 0, 10);
  options.rare().integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
  options.rare().flag("share_noise", config.share_noise,
                      "a prompt's images start at the same noise");
  options.rare().text("branch", command.branch,
                      "steps at which a prompt's images part, as a tree's branches: 0,3,6");
}

void declare_epoch(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("epochs");
  options.integer("num_epochs", config.num_epochs, "draw, rate, update", 1, 1000000);
  options.alias("num_train_epochs", "num_epochs");
  options.integer("prompts_per_epoch", config.prompts_per_epoch, "prompts", 1, 65536);
  options.integer("images_per_prompt", config.images_per_prompt, "images of each", 2, 65536);
  options.integer("num_inner_epochs", config.num_inner_epochs, "K: passes over an epoch's images",
                  1, 10000);
  options.alias("train_num_inner_epochs", "num_inner_epochs");
  options.rare().integer("prompts_per_update", config.prompts_per_update,
                         "an optimiser step sees; 0: all", 0, 65536);
  options.flag("offline", config.offline, "draw once, from the starting model");
  options.rare().integer("offline_epochs", config.offline_epochs, "epochs of images to draw then",
                         1, 1000000);
}

void declare_method(Options& options, DeclareMethod declare, FinetuneCommand& command) {
  const auto before = data::values_by_key(options.resolved());
  DeclaredMethod method{.own = {}, .make = declare(options)};
  for (const auto& [key, value] : data::values_by_key(options.resolved())) {
    if (before.count(key) == 0) method.own[key] = value;
  }
  command.methods.push_back(std::move(method));
}

void declare_objective(Options& options, FinetuneCommand& command) {
  auto& config = command.config;
  options.group("objective");
  options.number("beta", config.beta, "reward a nat of KL costs; 0: spread / sqrt(2 target_kl)", 0,
                 kHuge);
  options.alias("kl_beta", "beta");
  options.number("target_kl", config.target_kl, "nats of a trajectory at the optimum", 1e-6, kHuge);
  options.number("clip_range", config.clip_range, "nats a step", 1e-12, kHuge);
  options.alias("train_clip_range", "clip_range");
  for (const DeclareMethod declare : method_options()) declare_method(options, declare, command);
  declare_step_credit(options, command.credit);
  options.rare().flag("compare_gradients", command.compare_gradients,
                      "print the cosines between all methods' gradients on one epoch's images");
  options.rare().number("timestep_fraction", config.timestep_fraction,
                        "share of the steps with a gradient", 1e-6, 1);
  options.alias("train_timestep_fraction", "timestep_fraction");
  options.rare().text("skip_steps", command.skip_steps,
                      "steps that leave the objective: auto, none, or 8,9");
}

// expected: "branch: expected whole numbers"
std::vector<int64_t> numbers_of(const std::string& text, const std::string& expected) {
  std::vector<int64_t> numbers;
  for (const std::string& word : data::split(text, ',')) {
    const auto value = data::number_of<int64_t>(word);
    if (!value) {
      throw data::BadInput(expected + " separated by commas, found '" + text + "'");
    }
    numbers.push_back(*value);
  }
  return numbers;
}

const DeclaredMethod& chosen_method(const FinetuneCommand& command,
                                    const std::vector<std::string>& words) {
  std::vector<std::string> names;
  for (const auto& method : command.methods) {
    names.push_back(method.make().name);
    if (words.size() == 1 && words[0] == names.back()) return method;
  }
  throw data::BadInput("laurel finetune: expected " + data::joined(names, ", ") +
                       ", or a training of its own (`laurel finetune --help`), found " +
                       (words.empty() ? "nothing" : "'" + data::joined(words, " ") + "'") +
                       "; write `laurel finetune " + names[0] + "`");
}

// Options of a method that is not chosen, where they say something.
void refuse_options(const DeclaredMethod& other,
                    const std::string& chosen,
                    const Options& options) {
  const auto values = data::values_by_key(options.resolved());
  for (const auto& [key, value] : other.own) {
    if (options.given(key) && values.at(key) != value)
      throw data::BadInput(key + " is an option of " + other.make().name + ", not of " + chosen +
                           "; leave it out");
  }
}

}  // namespace

void declare_max_memory(Options& options, FinetuneCommand& command) {
  options.text("max_memory", command.max_memory,
               "chooses batch sizes, checkpointing, tiling so that the run fits: 12GB");
}

void declare_micro_batch(Options& options, finetune::FinetuneConfig& config) {
  options.integer("train_batch_size", config.train_batch_size, "trajectories at once: memory alone",
                  1, 65536);
}

void check_updates(const finetune::FinetuneConfig& config) {
  if (config.prompts_per_update <= config.prompts_per_epoch) return;
  throw data::BadInput("prompts_per_update: expected at most prompts_per_epoch (" +
                       std::to_string(config.prompts_per_epoch) + "), found " +
                       std::to_string(config.prompts_per_update));
}

void declare_finetune(Options& options, FinetuneCommand& command) {
  declare_run(options, command, command.config);
  declare_max_memory(options, command);
  declare_prompts(options, command);
  declare_edits(options, command);
  declare_combination(options, command.config);
  declare_learnt_weights(options, command, command.config);
  declare_sampling(options, command);
  declare_epoch(options, command);
  declare_objective(options, command);
  declare_training(options, command, command.config);
  declare_micro_batch(options, command.config);
  declare_records(options, command, command.config, "epochs");
  options.rare().integer("save_trajectories", command.config.keep.epochs,
                         "keeps those of the last N epochs, for laurel train-reward value --runs",
                         0, 1'000'000);
  declare_guard_rewards(options, command);
  declare_guard_kl(options, command.config);
  declare_ranks(options, command, command.config);
}

std::string finetune_configuration(const FinetuneCommand& command, const Options& options) {
  std::string configuration;
  std::istringstream lines(options.resolved());
  for (std::string line; std::getline(lines, line);) {
    const std::string key = line.substr(0, line.find(" = "));
    const bool of_another = std::any_of(
        command.methods.begin(), command.methods.end(), [&](const DeclaredMethod& method) {
          return method.own.count(key) > 0 && method.make().name != command.config.method.name;
        });
    if (!of_another) configuration += line + "\n";
  }
  return configuration;
}

void resolve_finetune(FinetuneCommand& command,
                      const Options& options,
                      const std::vector<std::string>& words) {
  auto& config = command.config;
  const DeclaredMethod& chosen = chosen_method(command, words);
  for (const auto& method : command.methods) {
    if (&method != &chosen) refuse_options(method, words[0], options);
  }
  config.method = finetune::method_with_kl_bound(chosen.make(), config);
  config.train_full = command.train == "full";
  config.skip_sharp_steps = command.skip_steps == "auto";
  const bool listed = command.skip_steps != "auto" && command.skip_steps != "none";
  config.skip_steps =
      listed ? numbers_of(command.skip_steps, "skip_steps: expected auto, none or whole numbers")
             : std::vector<int64_t>();
  config.branch = numbers_of(command.branch, "branch: expected whole numbers");
  finetune::branch_sizes(config);  // refuses what is no tree
  check_step_credit(command.credit, config);
  const auto& kind = diffusion::step_kind_of(config.step_kind, "step_kind");
  if (kind.noise != nullptr && !options.given("sample_eta")) config.sample_eta = kind.amount;
  resolve_learnt_weights(command, config, options, config.images_per_prompt);
  command.trained_rewards = rewards::parse_reward_weights(command.reward);
  check_combination(config);
  if (command.output_dir.empty()) command.output_dir = "runs/" + config.method.name;
  if (!command.max_memory.empty()) data::parse_bytes(command.max_memory, "max_memory");
  check_updates(config);
}

}  // namespace tools
