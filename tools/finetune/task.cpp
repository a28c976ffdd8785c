#include "tools/finetune/task.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "data/base/error.hpp"
#include "data/text/prompt_file.hpp"
#include "data/world/caption.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "finetune/run/reward_combination.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/model.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/cli/models.hpp"
#include "tools/finetune/edit_prompts.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr uint64_t kShuffleSeed = 1;

std::vector<std::string> shuffled(const std::vector<std::string>& prompts) {
  auto generator = at::detail::createCPUGenerator(kShuffleSeed);
  const at::Tensor order = at::randperm(static_cast<int64_t>(prompts.size()), generator);
  std::vector<std::string> result;
  for (int64_t i = 0; i < order.size(0); ++i)
    result.push_back(prompts[static_cast<size_t>(order[i].item<int64_t>())]);
  return result;
}

std::vector<std::string> prompts_of(const std::string& file) {
  std::vector<std::string> prompts;
  for (const auto& line : data::read_prompts(file)) prompts.push_back(line.prompt);
  return prompts;
}

bool from_world(const TrainingCommand& command) {
  return command.prompts == "world" ||
         (command.prompts.empty() && command.checkpoint.model.empty());
}

std::string eval_names(const TrainingCommand& command, bool synthetic) {
  if (command.eval_rewards != "auto") return command.eval_rewards;
  if (!synthetic) return "";
  return command.edits.empty() ? "oracle" : other_edit_scores(command.reward);
}

void add_rewards(const TrainingCommand& command,
                 finetune::TrainingConfig& config,
                 const Placement& placement,
                 const std::shared_ptr<const EditTable>& edits,
                 finetune::Task& task) {
  const std::string watched = eval_names(command, task.synthetic);
  const std::string between = command.reward.empty() || watched.empty() ? "" : ",";
  const std::string all = command.reward + between + watched;
  if (all.empty()) return;
  const size_t trained =
      command.reward.empty() ? 0 : rewards::parse_reward_weights(command.reward).size();
  const auto sources = reward_sources(command.sources, placement.device);
  const auto list =
      edits->empty() ? rewards::make_rewards(all, sources) : make_edit_rewards(all, sources, edits);
  for (size_t i = 0; i < list.size(); ++i) {
    (i < trained ? task.rewards : task.watched).push_back(list[i].reward);
    if (i >= trained) continue;
    config.reward_weights.push_back(list[i].weight);
    config.reward_names.push_back(list[i].reward.info.name);
  }
  finetune::combine_options(config);  // refuses what does not fit, before the run
}

// Keeps some back for the evaluation where none are given, and drops what is too many to train on.
void divide(PromptSets& sets, const TrainingCommand& command, int64_t eval_prompts) {
  const auto wanted = static_cast<size_t>(eval_prompts);
  if (sets.unseen.empty() && sets.train.size() >= 4 * wanted) {
    sets.unseen.assign(sets.train.end() - static_cast<int64_t>(wanted), sets.train.end());
    sets.train.resize(sets.train.size() - wanted);
  }
  if (command.max_train_prompts > 0 &&
      sets.train.size() > static_cast<size_t>(command.max_train_prompts)) {
    sets.train.resize(static_cast<size_t>(command.max_train_prompts));
  }
  sets.seen = sets.train;
}

// The edits of a command as prompts.
PromptSets load_edits(const TrainingCommand& command, int64_t eval_prompts, EditTable& table) {
  PromptSets sets;
  const NamedEdits train = read_edits(command.edits, table);
  sets.train = shuffled(train.names);
  sets.synthetic = train.synthetic;
  if (!command.validation_edits.empty())
    sets.unseen = read_edits(command.validation_edits, table).names;
  divide(sets, command, eval_prompts);
  return sets;
}

void check_edits(const diffusion::Pipeline& pipeline, const TrainingCommand& command) {
  const bool edits = diffusion::edits_images(pipeline);
  if (edits == !command.edits.empty()) return;
  const std::string model = pipeline.source.string() + ": " + pipeline.class_name;
  if (edits) {
    throw BadInput(model +
                   " changes a source image, which prompts alone do not give; name edits with "
                   "--edits, or train it with laurel finetune edit");
  }
  throw BadInput("edits: " + model +
                 " makes images from text alone; leave them out, or name a model that edits");
}

}  // namespace

PromptSets load_prompts(const TrainingCommand& command, int64_t eval_prompts) {
  PromptSets sets;
  sets.synthetic = from_world(command);
  if (sets.synthetic) {
    sets.train = shuffled(world::all_captions(world::Split::kSeen));
    sets.unseen = shuffled(world::all_captions(world::Split::kUnseen));
  } else if (command.prompts.empty() && !command.captions.empty()) {
    sets.train = shuffled(command.captions);
  } else if (command.prompts.empty()) {
    throw BadInput("prompts: expected a prompt file for " + command.checkpoint.model +
                   ", found none; name one with --prompts");
  } else {
    sets.train = shuffled(prompts_of(command.prompts));
  }
  if (!command.validation_prompts.empty()) sets.unseen = prompts_of(command.validation_prompts);
  divide(sets, command, eval_prompts);
  return sets;
}

finetune::Task make_task(const TrainingCommand& command,
                         finetune::TrainingConfig& config,
                         const Placement& placement,
                         const std::string& config_text) {
  const auto pipeline = std::make_shared<diffusion::Pipeline>(open_model(command.checkpoint));
  const fs::path& source = pipeline->source;
  config.save_whole =
      command.save_as == "whole" || (command.save_as == "auto" && fs::is_regular_file(source));
  check_edits(*pipeline, command);
  move_to(*pipeline, placement.device);
  const auto edits = std::make_shared<EditTable>();
  const PromptSets prompts = command.edits.empty()
                                 ? load_prompts(command, config.eval_prompts)
                                 : load_edits(command, config.eval_prompts, *edits);
  finetune::Task task;
  task.synthetic = prompts.synthetic;
  task.prompts = prompts.train;
  task.seen = prompts.seen;
  task.unseen = prompts.unseen;
  task.unet = pipeline->network;
  task.scheduler = pipeline->scheduler;
  task.device = placement.device;
  const int64_t pixels =
      command.resolution > 0 ? command.resolution : diffusion::native_size(*pipeline);
  const int64_t side = pixels / diffusion::vae_factor(pipeline->vae.config);
  task.latent_shape = {pipeline->vae.config.latent_channels, side, side};
  task.vae_factor = diffusion::vae_factor(pipeline->vae.config);
  const std::string negative = command.negative_prompt;
  task.encode = [pipeline](const std::vector<std::string>& texts) {
    return diffusion::encode_prompts(*pipeline, {texts.begin(), texts.end()});
  };
  if (!edits->empty()) make_editing(task, pipeline, edits, command, pixels);
  task.uncondition = [pipeline, negative] {
    return diffusion::encode_negatives(*pipeline, {negative});
  };
  if (diffusion::is_xl(*pipeline)) task.time_ids = diffusion::time_ids({}, pixels, pixels);
  task.tile_vae = [pipeline](bool on) {
    pipeline->vae.tile_size = 0;
    if (on) diffusion::enable_tiling(pipeline->vae);
  };
  task.tile_vae(config.vae_tiling);
  task.decode_unclamped = [pipeline](const at::Tensor& latents) {
    return diffusion::latents_to_unclamped(pipeline->vae, latents).to(at::kFloat);
  };
  task.save_pipeline = [pipeline](const fs::path& folder, const diffusion::Network& unet,
                                  const diffusion::SchedulerConfig& scheduler) {
    diffusion::Pipeline whole = *pipeline;
    whole.network = unet;
    whole.scheduler = scheduler;
    diffusion::save_pipeline(folder, whole, at::kHalf);
  };
  task.decode = [pipeline](const at::Tensor& latents) {
    // Rewards see fp32 images, whatever the precision of matrix products.
    return diffusion::latents_to_images(pipeline->vae, latents).to(at::kFloat);
  };
  add_rewards(command, config, placement, edits, task);
  const auto sources = reward_sources(command.sources, placement.device);
  if (fs::exists(sources.clip)) {
    const auto clip = std::make_shared<rewards::Clip>(rewards::load_clip(sources.clip));
    task.embed = [clip](const at::Tensor& images) {
      return rewards::image_features(*clip, images.cpu());
    };
  }
  task.model = source.string();
  task.config_text = config_text;
  return task;
}

}  // namespace tools
