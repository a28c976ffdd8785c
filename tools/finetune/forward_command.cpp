// laurel finetune raft | rwr | nft | dpo | ipo | kto | simpo: learning from clean images.

#include "tools/finetune/forward_command.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <utility>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/base/strings.hpp"
#include "finetune/forward/forecast.hpp"
#include "finetune/forward/methods/forward_methods.hpp"
#include "finetune/forward/offline.hpp"
#include "finetune/forward/online.hpp"
#include "finetune/forward/score_condition.hpp"
#include "finetune/policy/kl_bound.hpp"
#include "finetune/run/score_prompt.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "tools/cli/console/run_console.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/choice_files.hpp"
#include "tools/finetune/forward/rows.hpp"
#include "tools/finetune/learnt_weights_options.hpp"
#include "tools/finetune/task.hpp"

namespace tools {
namespace {

constexpr int64_t kStepsBetween = 50;  // of evaluations and checkpoints of a run of steps

struct ForwardCommand : TrainingCommand {
  finetune::ForwardConfig config;
  std::string pairs;               // a file or folder of choices
  bool online = false;             // own images and a reward in place of choices
  std::string condition = "none";  // of the choices' prompts: none | scores
  std::vector<finetune::ImageChoice> choices{};
};

void declare_drawing(Options& options, finetune::ForwardConfig& config) {
  options.group("sampling");
  options.text("sampling_method", config.sampling_method, "any of laurel sample's");
  options.alias("sampler", "sampling_method");
  options.integer("sample_num_steps", config.sample_num_steps, "steps", 1, 1000);
  options.alias("steps", "sample_num_steps");
  options.rare().number("sample_eta", config.sample_eta,
                        "of ddim and tcd: 1: DDPM's noise; 0: none", 0, 1);
  options.number("sample_guidance_scale", config.sample_guidance_scale, "1: no guidance", 0, 100);
  options.alias("guidance_scale", "sample_guidance_scale");
  options.alias("cfg_scale", "sample_guidance_scale");
  options.rare().integer("sample_batch_size", config.sample_batch_size, "images at once", 1, 65536);
}

void declare_epochs(Options& options, finetune::ForwardConfig& config) {
  options.group("epochs of own images");
  options.integer("num_epochs", config.num_epochs, "draw, rate, update", 1, 1000000);
  options.alias("num_train_epochs", "num_epochs");
  options.integer("prompts_per_epoch", config.prompts_per_epoch, "prompts", 1, 65536);
  options.integer("images_per_prompt", config.images_per_prompt, "images of each", 2, 65536);
  options.integer("num_inner_epochs", config.num_inner_epochs,
                  "optimiser steps on an epoch's images", 1, 10000);
  options.alias("train_num_inner_epochs", "num_inner_epochs");
}

void declare_denoising(Options& options, finetune::ForwardConfig& config) {
  options.group("objective");
  options.integer("draws", config.draws, "of noise, of an image and optimiser step", 1, 65536);
  options.rare().number("proportion_empty_prompts", config.proportion_empty_prompts,
                        "of the draws: guidance keeps its unconditional half", 0, 1);
}

void declare_choices(Options& options, ForwardCommand& command) {
  options.group("people's choices");
  options.text("pairs", command.pairs,
               "choices between images, as laurel eval-pairs reads them; or folders w/ and l/");
  options.flag("online", command.online, "draw own images instead, and prefer by --reward");
  options.rare().choice("condition", command.condition, {"none", finetune::kScoreCondition},
                        "scores: each choice twice, its prompt asking for the one or the other "
                        "image's score by --reward");
  options.integer("max_train_steps", command.config.max_train_steps, "optimiser steps", 1,
                  1000000000);
  options.integer("choices_per_update", command.config.choices_per_update, "choices of a step", 1,
                  65536);
}

// Keys of the other way to train, where they say something. values: by key, before parsing
void refuse_other_way(const ForwardCommand& command,
                      const Options& options,
                      const std::map<std::string, std::string>& values) {
  static const std::vector<std::string> of_online = {
      "num_epochs",        "prompts_per_epoch", "images_per_prompt", "num_inner_epochs",
      "label_temperature", "normalise_rewards", "constraints"};
  static const std::vector<std::string> of_choices = {
      "max_train_steps", "choices_per_update", "condition", "cache_reference", "margin_scale"};
  const auto now = data::values_by_key(options.resolved());
  std::vector<std::string> foreign = command.online ? of_choices : of_online;
  if (!command.online && !command.config.asks_for_scores) foreign.emplace_back("reward");
  for (const auto& key : foreign) {
    if (options.given(key) && now.at(key) != values.at(key))
      throw data::BadInput(key +
                           (command.online ? " goes with --pairs, not with --online"
                                           : " goes with --online, not with --pairs") +
                           "; leave it out");
  }
}

// Reads the choices; the run then counts optimiser steps, and rewards are reported alone.
void resolve_choices(ForwardCommand& command, const Options& options) {
  if (command.pairs.empty())
    throw data::BadInput(
        "pairs: expected choices between images, or --online, which draws own images and prefers "
        "by --reward; found neither");
  command.choices = read_image_choices(command.pairs, !command.config.method.learns_from_pairs,
                                       command.config.margin_scale);
  command.captions = prompts_of_choices(command.choices);
  if (!options.given("eval_every")) command.config.eval_every = kStepsBetween;
  if (!options.given("checkpointing_steps")) command.config.checkpointing_steps = kStepsBetween;
  if (command.config.asks_for_scores) {
    command.trained_rewards = rewards::parse_reward_weights(command.reward);
  } else if (command.eval_rewards == "auto") {
    command.eval_rewards =
        command.checkpoint.model.empty() ? "aesthetic,clip_score,oracle" : "aesthetic,clip_score";
  }
}

bool from_choices(const ForwardCommand& command) { return !command.choices.empty(); }

// The choices that are trained on, as latents.
finetune::ChoiceData training_choices(const finetune::TrainingTask& task,
                                      const ForwardCommand& command,
                                      const finetune::Reporter& reporter) {
  auto choices = without_prompts(command.choices, task.unseen);
  if (command.config.asks_for_scores) {
    auto conditioned = finetune::with_scores(
        choices, finetune::rate_choices(task, choices, command.config, reporter));
    const finetune::ScoreScale& scale = conditioned.scale;
    reporter.say(data::formatted(
        "scores of %.0f to %.0f stand for rewards of %.4g to %.4g; %.0f of %.0f choices are left "
        "out: their scores do not order the images as the choice does",
        static_cast<double>(finetune::kLowestScore), static_cast<double>(finetune::kHighestScore),
        scale.low, scale.high, static_cast<double>(conditioned.left_out),
        static_cast<double>(choices.size())));
    choices = std::move(conditioned.choices);
  }
  return finetune::encode_choices(task, choices, command.config.sample_batch_size, reporter);
}

// What the run will cost, as text.
std::string forecast_of(const finetune::TrainingTask& task, const ForwardCommand& command) {
  if (!from_choices(command))
    return finetune::forecast_text(finetune::forecast_online(task, command.config));
  const auto data = training_choices(task, command, finetune::Reporter());
  return finetune::forecast_text(finetune::forecast_offline(task, data, command.config));
}

finetune::RunResult run_forward(const finetune::TrainingTask& task,
                                const ForwardCommand& command,
                                const finetune::RunOptions& run,
                                const finetune::Reporter& reporter) {
  if (!from_choices(command)) return finetune::run_online(task, command.config, run, reporter);
  const auto data = training_choices(task, command, reporter);
  return finetune::run_offline(task, data, command.config, run, reporter);
}

int forward_in(const finetune::ProcessGroup& ranks,
               ForwardCommand& command,
               const Options& options) {
  const Placement placement = open_device(command.device, ranks.local_rank);
  const PrecisionScope precision(placement);
  finetune::TrainingTask task = make_task(command, command.config, placement);
  resolve_guidance(*task.pipeline, options, command.config.sample_guidance_scale);
  task.config_text = options.resolved();
  if (!command.config.train_full && placement.compute != at::kFloat)
    task.unet = diffusion::with_compute_dtype(task.unet, placement.compute);
  if (command.dry_run) {
    if (ranks.rank == 0) std::cout << forecast_of(task, command);
    return 0;
  }
  Console console;
  finetune::RunOptions run;
  run.folder = command.output_dir;
  run.resume_from = command.resume_from_checkpoint;
  run.record = {command.config.method.name,
                task.model,
                command.trained_rewards.empty() ? "" : command.reward,
                placement.device.str(),
                command.config.seed,
                task.synthetic};
  run.stop_requested = stop_on_signal();
  run.ranks = ranks;
  const auto result =
      run_forward(task, command, run, ranks.rank == 0 ? console.reporter() : finetune::Reporter());
  if (ranks.rank == 0)
    print_result(result, from_choices(command) ? "steps" : "epochs", "start", command.output_dir);
  return exit_code_of(result);
}

// Moves what was given as text into the config, and checks what single options cannot.
void resolve_forward(ForwardCommand& command,
                     const std::function<finetune::ForwardMethod()>& make,
                     const Options& options,
                     const std::map<std::string, std::string>& defaults) {
  command.config.method = make();
  command.config.train_full = command.train == "full";
  command.config.asks_for_scores = command.condition == finetune::kScoreCondition;
  check_combination(command.config);
  finetune::refuse_kl_bound(command.config, command.config.method.name);
  if (command.output_dir.empty()) command.output_dir = "runs/" + command.config.method.name;
  if (command.config.method.learns_from_choices) {
    if (command.online && !command.pairs.empty())
      throw data::BadInput(
          "pairs, online: expected one of them: choices that are there, or own images; found both");
    refuse_other_way(command, options, defaults);
    if (!command.online) return resolve_choices(command, options);
  }
  resolve_learnt_weights(command, command.config, options, command.config.images_per_prompt);
  command.trained_rewards = rewards::parse_reward_weights(command.reward);
}

int forward_command(const ForwardRow& row,
                    const finetune::ForwardMethod& method,
                    const std::vector<std::string>& arguments) {
  ForwardCommand command;
  row.defaults(command.config);
  const std::string name = "finetune " + method.name;
  Options options(name, "Teaches the network to earn more reward: " + method.summary + ".");
  declare_run(options, command, command.config);
  if (method.learns_from_choices) declare_choices(options, command);
  declare_prompts(options, command);
  declare_combination(options, command.config);
  declare_learnt_weights(options, command, command.config);
  declare_drawing(options, command.config);
  declare_epochs(options, command.config);
  declare_denoising(options, command.config);
  const auto make = row.declare(options, command.config);
  declare_training(options, command, command.config);
  options.integer("train_batch_size", command.config.train_batch_size,
                  "noised latents at once: memory alone", 1, 65536);
  declare_records(options, command, command.config,
                  method.learns_from_choices ? "epochs, or steps with --pairs" : "epochs");
  declare_guard_rewards(options, command);
  declare_guard_kl(options, command.config);
  declare_ranks(options, command, command.config);
  const auto defaults = data::values_by_key(options.resolved());
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw data::BadInput("laurel " + name + ": unexpected '" + parsed.positional[0] + "'");
  resolve_forward(command, make, options, defaults);
  return in_ranks(options.resolved(), command.ranks, [&](const finetune::ProcessGroup& ranks) {
    return forward_in(ranks, command, options);
  });
}

// The row's method with its defaults.
const finetune::ForwardMethod& method_of_row(const ForwardRow& row) {
  const auto& methods = finetune::forward_methods();
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [&](const auto& method) { return method.name == row.name; });
  TORCH_CHECK(found != methods.end(), "forward_rows: no method ", row.name);
  return *found;
}

}  // namespace

const CommandList& forward_commands() {
  static const std::vector<Command> commands = [] {
    std::vector<Command> rows;
    for (const ForwardRow* row : forward_rows()) {
      const finetune::ForwardMethod& method = method_of_row(*row);
      rows.push_back({row->name, method.summary.c_str(),
                      [row, &method](const std::vector<std::string>& words) {
                        return forward_command(*row, method, words);
                      }});
    }
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
