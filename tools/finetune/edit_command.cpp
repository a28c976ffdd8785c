// laurel finetune edit: an editing model that reads the reward which its edit should earn.

#include "tools/finetune/edit_command.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "data/base/error.hpp"
#include "data/base/strings.hpp"
#include "data/images/image_folder.hpp"
#include "diffusion/checkpoints/check_fit.hpp"
#include "diffusion/networks/vae/build.hpp"
#include "diffusion/pipeline/edit_conditioning.hpp"
#include "finetune/edit/edit.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/cli/console/run_console.hpp"
#include "tools/cli/failure.hpp"
#include "tools/cli/models.hpp"
#include "tools/cli/run_in_ranks.hpp"
#include "tools/finetune/edit_training_options.hpp"
#include "tools/finetune/task.hpp"
#include "tools/pretrain/options.hpp"

namespace tools {
namespace {

namespace fs = std::filesystem;
using data::BadInput;
using diffusion::Pipeline;
using diffusion::RewardBranchConfig;

constexpr const char* kEditClass = "StableDiffusionInstructPix2PixPipeline";

diffusion::UNetConfig new_unet_config(const EditTrainingCommand& command,
                                      const Pipeline& pipeline) {
  diffusion::UNetConfig config;
  config.block_out_channels = whole_numbers(command.widths, "block_out_channels");
  const size_t levels = config.block_out_channels.size();
  const auto attends = [&](size_t level) {
    return level + static_cast<size_t>(command.attention_levels) >= levels;
  };
  config.down_attention.clear();
  config.up_attention.clear();
  for (size_t i = 0; i < levels; ++i) {
    config.down_attention.push_back(attends(i));
    config.up_attention.push_back(attends(levels - 1 - i));
  }
  config.layers_per_block.assign(levels, command.layers_per_block);
  config.transformer_layers.assign(levels, 1);
  config.heads.assign(levels, command.heads);
  config.norm_num_groups = command.norm_num_groups;
  config.cross_attention_dim = pipeline.text_encoders[0].network.token_embedding.size(1);
  config.out_channels = pipeline.vae.config.latent_channels;
  config.in_channels = 2 * config.out_channels;
  config.sample_size = command.resolution / diffusion::vae_factor(pipeline.vae.config);
  return config;
}

// Names of a list option, which may hold commas.
std::vector<std::string> names_of(const std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const auto& word : given) {
    for (const std::string& name : data::split(word, ',')) names.push_back(name);
  }
  return names;
}

RewardBranchConfig branch_config(const EditTrainingCommand& command, const Pipeline& pipeline) {
  RewardBranchConfig config;
  config.layout = diffusion::RewardLayout::kNative;
  const int64_t width = pipeline.text_encoders[0].network.token_embedding.size(1);
  if (command.reward_branch == "published") {
    config = diffusion::published_reward_config();
    config.text_dim = width;
  }
  if (command.feedback) config.text_dim = width;
  if (!command.axes.empty()) config.axes = names_of(command.axes);
  return config;
}

// Gives the UNet what an editing model has beside an ordinary one.
void make_editor(const EditTrainingCommand& command, Pipeline& pipeline) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(command.config.seed));
  if (command.pixel_space) pipeline.vae = diffusion::identity_vae(command.resolution);
  if (!command.beta_schedule.empty()) pipeline.scheduler.beta_schedule = command.beta_schedule;
  pipeline.network = command.new_unet
                         ? diffusion::make_unet(new_unet_config(command, pipeline), generator)
                         : diffusion::with_image_input(diffusion::unet_of(pipeline.network));
  pipeline.class_name = kEditClass;
  const RewardBranchConfig& own = diffusion::reward_config(pipeline.network);
  const std::string found = diffusion::reward_layout_name(own.layout);
  if (!diffusion::reads_reward(own)) {
    if (command.reward_branch == "none") return;
    pipeline.network = diffusion::with_reward_branch(diffusion::unet_of(pipeline.network),
                                                     branch_config(command, pipeline), generator);
  } else if (command.reward_branch != "auto" && command.reward_branch != found) {
    throw BadInput("reward_branch: " + pipeline.source.string() + " has one of the " + found +
                   " layout, found " + command.reward_branch + "; leave the option out");
  } else if (!command.axes.empty() && names_of(command.axes) != own.axes) {
    throw BadInput("axes: " + pipeline.source.string() +
                   " has axes of its own; leave the option out");
  }
}

Pipeline open_editor(EditTrainingCommand& command) {
  Pipeline pipeline = open_model(command.checkpoint);
  if (diffusion::is_xl(pipeline) || diffusion::embeds_guidance(pipeline.network) ||
      pipeline.t5_text) {
    throw BadInput(pipeline.source.string() + ": expected a Stable Diffusion 1 or 2 model, found " +
                   pipeline.class_name + ", which laurel does not train to edit");
  }
  if (command.resolution == 0) command.resolution = diffusion::native_size(pipeline);
  make_editor(command, pipeline);
  const int64_t factor = diffusion::vae_factor(pipeline.vae.config);
  if (command.resolution % factor != 0)
    throw BadInput("resolution: expected a multiple of " + std::to_string(factor) + ", found " +
                   std::to_string(command.resolution));
  diffusion::check_fit(pipeline, pipeline.source.string());
  return pipeline;
}

struct Triples {
  std::vector<data::EditTriple> train, held_out;
};

// Without those that score below the bar, or are not scored on every axis.
std::vector<data::EditTriple> good_ones(const std::vector<data::EditTriple>& all,
                                        double bar,
                                        const RewardBranchConfig& config) {
  const at::Tensor worst = std::get<0>(finetune::score_table(all, config).min(1));  // NaN stays
  std::vector<data::EditTriple> kept;
  for (size_t i = 0; i < all.size(); ++i) {
    if (worst[static_cast<int64_t>(i)].item<double>() >= bar) kept.push_back(all[i]);
  }
  return kept;
}

Triples read_triples(const EditTrainingCommand& command, const RewardBranchConfig& config) {
  Triples triples;
  triples.train = data::read_edit_triples(command.data);
  if (!command.validation_data.empty()) {
    triples.held_out = data::read_edit_triples(command.validation_data);
  } else {
    const auto all = std::move(triples.train);
    const auto count = static_cast<int64_t>(all.size());
    if (count < 2)
      throw BadInput("data: expected at least 2 edits in " + command.data + ", found " +
                     std::to_string(count));
    const auto split = data::split_folder(count, std::min(command.held_out, count / 10));
    const auto pick = [&](const at::Tensor& rows) {
      std::vector<data::EditTriple> some;
      for (int64_t i = 0; i < rows.size(0); ++i)
        some.push_back(all[static_cast<size_t>(rows[i].item<int64_t>())]);
      return some;
    };
    triples.train = pick(split.train);
    triples.held_out = pick(split.held_out);
  }
  if (command.min_score >= 0) triples.train = good_ones(triples.train, command.min_score, config);
  if (triples.train.empty())
    throw BadInput("min_score: expected edits that score at least " +
                   std::to_string(command.min_score) + ", found none; lower it");
  return triples;
}

// The images of the first edits of each set.
void add_examples(finetune::EditData& data,
                  const Triples& triples,
                  const EditTrainingCommand& command) {
  std::vector<at::Tensor> sources, edited;
  for (const auto* set : {&triples.train, &triples.held_out}) {
    const auto count = std::min(set->size(), static_cast<size_t>(command.config.eval_prompts));
    for (size_t i = 0; i < count; ++i) {
      const at::Tensor both = finetune::edit_images((*set)[i], command.resolution);
      sources.push_back(both[0]);
      edited.push_back(both[1]);
    }
  }
  if (sources.empty()) return;
  data.sources = at::stack(sources);
  data.edited = at::stack(edited);
}

finetune::EditData encode(const EditTrainingCommand& command,
                          const Pipeline& pipeline,
                          const std::function<void(const std::string&)>& say) {
  Triples triples = read_triples(command, diffusion::reward_config(pipeline.network));
  finetune::EditEncoding options{.resolution = command.resolution, .keep = command.latents};
  finetune::EditData data;
  data.train = finetune::encode_edits(pipeline, triples.train, options, say);
  options.keep.clear();
  data.held_out = finetune::encode_edits(pipeline, triples.held_out, options, say);
  triples.train = finetune::without(triples.train, data.train.left_out);
  triples.held_out = finetune::without(triples.held_out, data.held_out.left_out);
  data.texts = finetune::edit_texts(pipeline, data.train);
  add_examples(data, triples, command);
  say("edits: " + std::to_string(data.train.size()) + " to train on, " +
      std::to_string(data.held_out.size()) + " held out");
  const size_t left_out = data.train.left_out.size() + data.held_out.left_out.size();
  if (left_out > 0) say(std::to_string(left_out) + " edits left out, see above");
  return data;
}

finetune::TrainingTask edit_task(const EditTrainingCommand& command,
                                 const std::shared_ptr<Pipeline>& pipeline,
                                 const Placement& placement,
                                 const std::string& config_text) {
  finetune::TrainingTask task = finetune::make_training_task(pipeline, command.resolution);
  if (command.eval_rewards != "auto" && !command.eval_rewards.empty())
    task.eval_rewards = rewards::make_rewards(command.eval_rewards,
                                              reward_sources(command.sources, placement.device));
  task.config_text = config_text;
  return task;
}

int finetune_edit_command(const std::vector<std::string>& arguments) {
  EditTrainingCommand command;
  command.train = "full";
  command.config.learning_rate = 1e-4;
  command.config.adam_weight_decay = 1e-2;
  command.config.ema_decay = 0.999;
  command.config.eval_every = 1000;
  command.config.guard = "warn";  // no reward is trained: what falls is not gamed
  command.config.eval_images = 1;
  command.config.checkpointing_steps = 500;
  Options options("finetune edit",
                  "Trains a model to edit images by instruction, told how good each training pair "
                  "is, so that the best can be asked for.");
  declare_edit_training(options, command);
  const auto parsed = options.parse(arguments);
  if (!parsed.proceed) return 0;
  if (!parsed.positional.empty())
    throw BadInput("laurel finetune edit: unexpected '" + parsed.positional[0] + "'");
  expect_alone("laurel finetune edit");
  resolve_edit_training(command);
  const Placement placement = open_device(command.device);
  const PrecisionScope precision(placement);
  const auto pipeline = std::make_shared<Pipeline>(open_editor(command));
  move_to(*pipeline, placement.device);
  const finetune::TrainingTask task = edit_task(command, pipeline, placement, options.resolved());
  Console console;
  const finetune::Reporter reporter = console.reporter();
  const finetune::EditData data = encode(command, *pipeline, reporter.say);
  if (command.dry_run) {
    std::cout << finetune::forecast_text(finetune::forecast_edit(task, data, command.config));
    return 0;
  }
  finetune::RunOptions run;
  run.folder = command.output_dir;
  run.resume_from = command.resume_from_checkpoint;
  run.record = {"edit",        task.model, "", placement.device.str(), command.config.seed,
                task.synthetic};
  run.stop_requested = stop_on_signal();
  const finetune::RunResult result = finetune::run_edit(task, data, command.config, run, reporter);
  std::cout << "steps   " << result.steps
            << (result.stopped.empty() ? "" : " (stopped: " + result.stopped + ")") << "\n"
            << "model   " << (fs::path(command.output_dir) / "model").string() << "\n";
  print_verdict(result, command.output_dir);
  const bool all_used = data.train.left_out.empty() && data.held_out.left_out.empty();
  const int code = exit_code_of(result);
  return code == 0 && !all_used ? kBadInput : code;
}

}  // namespace

const Command kFinetuneEdit{"edit", "train a model that edits images", finetune_edit_command};

}  // namespace tools
