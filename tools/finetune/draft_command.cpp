// laurel finetune draft | alignprop | refl: the reward's gradient through the sampling chain.

#include "tools/finetune/draft_command.hpp"

#include <iostream>

#include "data/base/error.hpp"
#include "finetune/draft/draft.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/cli/console/run_console.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/reward_view.hpp"
#include "tools/finetune/task.hpp"

namespace tools {
namespace {

struct DraftCommand : TrainingCommand {
  finetune::DraftConfig config;
  std::string reward_view = "whole";
};

void declare_sampling(Options& options, finetune::DraftConfig& config) {
  options.group("sampling (the same in training)");
  options.integer("sample_num_steps", config.sample_num_steps, "steps of the chain", 1, 1000);
  options.alias("steps", "sample_num_steps");
  options.rare().number("sample_eta", config.sample_eta, "1: DDPM's noise; 0: none", 0, 1);
  options.number("sample_guidance_scale", config.sample_guidance_scale, "1: no guidance", 0, 100);
  options.alias("guidance_scale", "sample_guidance_scale");
  options.alias("cfg_scale", "sample_guidance_scale");
  options.rare().integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
}

void declare_objective(Options& options, DraftCommand& command) {
  auto& config = command.config;
  options.group("objective");
  options.integer("max_train_steps", config.max_train_steps, "optimiser steps", 1, 1000000000);
  options.integer("train_batch_size", config.train_batch_size, "images of a step", 1, 65536);
  options.integer("last_steps", config.last_steps, "steps of the chain with a gradient; 0: all", 0,
                  1000);
  options.alias("K", "last_steps");
  options.rare().flag("random_truncation", config.random_truncation,
                      "draw the number of steps with a gradient, from 1 to last_steps, a batch");
  options.rare().flag("early_x0", config.early_x0,
                      "rate the x0 that a step drawn from the last ones predicts");
  options.rare().integer("variance_draws", config.variance_draws,
                         "DRaFT-LV: one-step gradients from this many renoised copies; 0: off", 0,
                         1000);
  options.number("kl_coefficient", config.kl_coefficient,
                 "reward a nat of KL from the start costs, of steps with a gradient", 0, kHuge);
  options.text("caps", config.caps, "reward that is not exceeded, in raw units: imagereward=..2");
  options.rare().integer("reward_chunk", config.reward_chunk, "decoded at once: memory alone", 1,
                         65536);
  declare_reward_view(options, command.reward_view);
  options.rare().flag("two_pass", config.two_pass,
                      "the reward's graph before the VAE's: less memory, one more decode");
}

int draft_in(const finetune::ProcessGroup& ranks,
             const finetune::DraftMethod& method,
             DraftCommand& command,
             const Options& options) {
  const Placement placement = open_device(command.device, ranks.local_rank);
  const PrecisionScope precision(placement);
  finetune::TrainingTask task = make_task(command, command.config, placement);
  resolve_guidance(*task.pipeline, options, command.config.sample_guidance_scale);
  task.config_text = options.resolved();
  if (!command.config.train_full && placement.compute != at::kFloat)
    task.unet = diffusion::with_compute_dtype(task.unet, placement.compute);
  if (command.dry_run) {
    if (ranks.rank == 0)
      std::cout << finetune::forecast_text(finetune::forecast_draft(task, command.config));
    return 0;
  }
  Console console;
  finetune::RunOptions run;
  run.folder = command.output_dir;
  run.resume_from = command.resume_from_checkpoint;
  run.record = {method.name,         task.model,    command.reward, placement.device.str(),
                command.config.seed, task.synthetic};
  run.stop_requested = stop_on_signal();
  run.ranks = ranks;
  const auto result =
      finetune::run_draft(task, method, command.config, run,
                          ranks.rank == 0 ? console.reporter() : finetune::Reporter());
  if (ranks.rank == 0) print_result(result, "steps", "start", command.output_dir);
  return exit_code_of(result);
}

int draft_command(const finetune::DraftMethod& method, const std::vector<std::string>& arguments) {
  DraftCommand command;
  command.config = method.defaults();
  command.config.eval_every = 50;
  command.config.checkpointing_steps = 50;
  const std::string name = std::string("finetune ") + method.name;
  Options options(name,
                  std::string("Teaches the network to earn more of a differentiable reward: ") +
                      method.summary + ".");
  declare_run(options, command, command.config);
  declare_prompts(options, command);
  declare_sampling(options, command.config);
  declare_objective(options, command);
  declare_training(options, command, command.config);
  declare_records(options, command, command.config, "steps");
  declare_guard_rewards(options, command);
  declare_guard_kl(options, command.config);
  declare_ranks(options, command, command.config);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw data::BadInput("laurel " + name + ": unexpected '" + parsed.positional[0] + "'");
  command.config.train_full = command.train == "full";
  command.config.reward_view = reward_view_of(command.reward_view);
  command.trained_rewards = rewards::parse_reward_weights(command.reward);
  if (command.output_dir.empty()) command.output_dir = std::string("runs/") + method.name;
  return in_ranks(options.resolved(), command.ranks, [&](const finetune::ProcessGroup& ranks) {
    return draft_in(ranks, method, command, options);
  });
}

}  // namespace

const CommandList& draft_commands() {
  static const std::vector<Command> commands = [] {
    std::vector<Command> rows;
    for (const auto& method : finetune::draft_methods())
      rows.push_back(
          {method.name, method.summary, [&method](const std::vector<std::string>& words) {
             return draft_command(method, words);
           }});
    return rows;
  }();
  static const CommandList list = [] {
    CommandList all;
    for (const auto& command : commands) all.push_back(&command);
    return all;
  }();
  return list;
}

}  // namespace tools
