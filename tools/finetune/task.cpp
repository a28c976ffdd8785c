#include "tools/finetune/task.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>

#include "data/base/error.hpp"
#include "data/base/log.hpp"
#include "data/text/prompt_file.hpp"
#include "data/world/caption.hpp"
#include "finetune/task/reward_combination.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/clip/model.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/registry/registry.hpp"
#include "tools/cli/models.hpp"
#include "tools/edit/jobs.hpp"
#include "tools/finetune/edit_prompts.hpp"
#include "tools/finetune/guard_rewards.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace tools {
namespace {

constexpr uint64_t kShuffleSeed = 1;

using Prompts = std::vector<finetune::TrainingPrompt>;

Prompts shuffled(const Prompts& prompts) {
  auto generator = at::detail::createCPUGenerator(kShuffleSeed);
  const at::Tensor order = at::randperm(static_cast<int64_t>(prompts.size()), generator);
  Prompts result;
  for (int64_t i = 0; i < order.size(0); ++i)
    result.push_back(prompts[static_cast<size_t>(order[i].item<int64_t>())]);
  return result;
}

Prompts prompts_of(const std::string& file) {
  Prompts prompts;
  for (const auto& line : data::read_prompts(file)) prompts.emplace_back(line.prompt);
  return prompts;
}

Prompts prompts_of(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

bool from_world(const TrainingCommand& command) {
  if (!command.prompts.empty()) return command.prompts == "world";
  const std::string& model = command.checkpoint.model;
  return model.empty() || (command.captions.empty() && is_embedded(model));
}

// What is evaluated beside the trained rewards.
std::vector<rewards::RewardWeight> eval_rewards(const TrainingCommand& command, bool synthetic) {
  if (command.eval_rewards != "auto") {
    return command.eval_rewards.empty() ? std::vector<rewards::RewardWeight>()
                                        : rewards::parse_reward_weights(command.eval_rewards);
  }
  if (!synthetic) return {};
  if (!command.edits.empty()) return other_edit_scores(command.trained_rewards);
  return {{"oracle", 1}};
}

void add_rewards(const TrainingCommand& command,
                 const finetune::TrainingConfig& config,
                 const rewards::RewardSources& plain_sources,
                 finetune::TrainingTask& task) {
  const bool edits = !command.edits.empty();
  const rewards::RewardSources sources = edits ? with_exact_scores(plain_sources) : plain_sources;
  auto evaluated = eval_rewards(command, task.synthetic);
  task.guard_rewards =
      choose_guard_rewards(command, config.guard, evaluated, sources, task.synthetic);
  for (const auto& name : task.guard_rewards) {
    const bool there = std::any_of(evaluated.begin(), evaluated.end(),
                                   [&](const auto& one) { return one.name == name; });
    if (!there) evaluated.push_back({name, 1});
  }
  rewards::RewardSets sets = rewards::make_reward_sets(command.trained_rewards, evaluated, sources);
  if (edits) {
    for (const auto* prompts : {&task.prompts, &task.unseen}) {
      check_exact_scores(sets.trained, *prompts);
      check_exact_scores(sets.evaluated, *prompts);
    }
  }
  task.rewards = std::move(sets.trained);
  task.eval_rewards = std::move(sets.evaluated);
  finetune::combine_options(task.rewards, config);  // refuses what does not fit, before the run
}

// Whether a reward that compares images is trained in the features of the rewards' CLIP.
bool trains_diversity_by_clip(const TrainingCommand& command,
                              const rewards::RewardSources& sources) {
  rewards::RewardOrigin clip;
  clip.weights = {sources.clip};
  return std::any_of(command.trained_rewards.begin(), command.trained_rewards.end(),
                     [&](const rewards::RewardWeight& one) {
                       const auto origin = rewards::origin_of(one.name, sources);
                       return origin.compares_images && rewards::share_weights(origin, clip);
                     });
}

// Features of images for diversity, where the CLIP of the rewards is there, and is no judge of what
// it taught.
void add_features(const TrainingCommand& command,
                  const rewards::RewardSources& sources,
                  finetune::TrainingTask& task) {
  if (!fs::exists(sources.clip) || trains_diversity_by_clip(command, sources)) return;
  const auto clip = std::make_shared<rewards::Clip>(rewards::load_clip(sources.clip));
  task.embed = [clip](const at::Tensor& images) {
    return rewards::image_features(*clip, images.cpu());
  };
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
PromptSets load_edits(const TrainingCommand& command, int64_t eval_prompts) {
  PromptSets sets;
  std::set<std::string> taken;
  sets.train = shuffled(read_edits(command.edits, taken));
  sets.synthetic = of_built_in_world(sets.train);
  if (!command.validation_edits.empty()) sets.unseen = read_edits(command.validation_edits, taken);
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
    sets.train = shuffled(prompts_of(world::all_captions(world::Split::kSeen)));
    sets.unseen = shuffled(prompts_of(world::all_captions(world::Split::kUnseen)));
  } else if (command.prompts.empty() && !command.captions.empty()) {
    sets.train = shuffled(prompts_of(command.captions));
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

finetune::TrainingTask make_task(const TrainingCommand& command,
                                 finetune::TrainingConfig& config,
                                 const Placement& placement) {
  const auto pipeline = std::make_shared<diffusion::Pipeline>(open_model(command.checkpoint));
  config.save_whole = command.save_as == "whole" ||
                      (command.save_as == "auto" && fs::is_regular_file(pipeline->source));
  check_edits(*pipeline, command);
  move_to(*pipeline, placement.device);
  finetune::TrainingTask task = finetune::make_training_task(pipeline, command.resolution);
  finetune::tile_vae(task, config.vae_tiling);
  PromptSets prompts = command.edits.empty() ? load_prompts(command, config.eval_prompts)
                                             : load_edits(command, config.eval_prompts);
  task.synthetic = prompts.synthetic;
  task.prompts = std::move(prompts.train);
  task.seen = std::move(prompts.seen);
  task.unseen = std::move(prompts.unseen);
  task.negative_prompt = command.negative_prompt;
  if (!command.edits.empty()) {
    task.request.scores =
        parse_request(command.request, diffusion::reward_config(pipeline->network), "--request",
                      data::log_warning);
    task.image_guidance_scale = command.image_guidance_scale;
  }
  const auto sources = reward_sources(command.sources, placement.device);
  add_rewards(command, config, sources, task);
  add_features(command, sources, task);
  return task;
}

}  // namespace tools
