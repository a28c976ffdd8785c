#include "tools/finetune/value_learner.hpp"

#include <ATen/ATen.h>

#include <charconv>
#include <memory>
#include <numeric>

#include "finetune/policy/epoch_states.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/value/files.hpp"
#include "rewards/value/kept_chains.hpp"
#include "tools/cli/latent_space.hpp"

namespace fs = std::filesystem;

namespace tools {
namespace {

// "aesthetic=1,clip_score=0.1", which reads back to the same weights.
std::string reward_text(const finetune::TrainingTask& task) {
  std::string text;
  for (const auto& [reward, weight] : task.rewards) {
    char number[32];
    char* const end = std::to_chars(number, number + sizeof number, weight).ptr;
    text += (text.empty() ? "" : ",") + reward.info.name;
    if (weight != 1) text += "=" + std::string(number, end);
  }
  return text;
}

rewards::ValueConfig value_config(const finetune::TrainingTask& task) {
  const bool alone = task.rewards.size() == 1 && task.rewards[0].weight == 1;
  return {.space = latent_space_of(*task.pipeline),
          .text_width = text_means(*task.pipeline, {""}).size(1),
          .reads_expected = false,
          .reward = reward_text(task),
          .unit = alone ? task.rewards[0].reward.info.unit : ""};
}

at::Tensor means_of(const finetune::TrainingTask& task,
                    const std::vector<finetune::TrainingPrompt>& prompts) {
  std::vector<diffusion::Prompt> texts;
  for (const auto& prompt : prompts) texts.emplace_back(prompt.text);
  return text_means(*task.pipeline, texts);
}

// An epoch's chains, by prompt.
std::vector<rewards::ChainFile> chains_of(const finetune::TrainingTask& task,
                                          const finetune::EpochStates& states) {
  const at::Tensor text = means_of(task, states.prompts),
                   timesteps = at::tensor(states.timesteps, at::kDouble);
  std::vector<rewards::ChainFile> prompts;
  for (const auto& members : rewards::rows_of_groups(states.prompt_ids)) {
    const int64_t id = states.prompt_ids[static_cast<size_t>(members[0])];
    const at::Tensor rows = at::tensor(members, at::kLong);
    prompts.push_back({.prompt = states.prompts[static_cast<size_t>(id)].text,
                       .latents = states.latents.index_select(0, rows),
                       .clean = states.clean.index_select(0, rows),
                       .expected = {},
                       .rewards = states.rewards.index_select(0, rows),
                       .combined = states.combined.index_select(0, rows),
                       .text = text[id].clone(),
                       .timesteps = timesteps});
  }
  return prompts;
}

rewards::ValueData value_data(const finetune::TrainingTask& task,
                              const finetune::EpochStates& states) {
  std::vector<double> weights;
  for (const auto& reward : task.rewards) weights.push_back(reward.weight);
  rewards::ValueData data{.prompts = {}, .timesteps = states.timesteps};
  for (const auto& chains : chains_of(task, states))
    data.prompts.push_back(rewards::weighted_chains(chains, weights));
  return data;
}

double mean_of_first(const std::vector<double>& values, size_t count) {
  const auto end = values.begin() + static_cast<std::ptrdiff_t>(count);
  return std::accumulate(values.begin(), end, 0.0) / static_cast<double>(count);
}

std::vector<std::pair<std::string, double>> learnt_figures(const std::vector<double>& explained,
                                                           const rewards::OnlineStep& step) {
  std::vector<std::pair<std::string, double>> figures;
  if (!explained.empty()) {
    figures.emplace_back("value/explained", mean_of_first(explained, explained.size()));
    figures.emplace_back("value/explained_early",
                         mean_of_first(explained, (explained.size() + 1) / 2));
  }
  if (step.value.updates > 0) figures.emplace_back("value/loss", step.loss);
  return figures;
}

// The network's folder, in a run's folder and in its checkpoints.
fs::path value_folder(const fs::path& folder) { return folder / "value"; }

}  // namespace

at::Tensor network_values(const rewards::ValueNetwork& network,
                          const finetune::StateBatch& states,
                          const finetune::TrainingTask& task) {
  const at::Device device = states.x.device();
  return rewards::value_of(network, {.latents = states.x,
                                     .expected = states.x0,
                                     .timesteps = at::full({states.x.size(0)}, states.timestep,
                                                           at::TensorOptions(device)),
                                     .text = means_of(task, states.prompts).to(device)});
}

LearntValue make_learnt_value(const finetune::TrainingTask& task,
                              const rewards::OnlineOptions& options,
                              int64_t seed) {
  const auto online = std::make_shared<rewards::OnlineValue>(
      rewards::make_online_value(value_config(task), seed, task.device));
  LearntValue result;
  result.value.of = [online, &task](const finetune::StateBatch& states) {
    return network_values(online->network, states, task);
  };
  result.value.ready = [online] { return online->updates > 0; };
  result.learner = {.learn =
                        [online, options, &task](const finetune::EpochStates& states,
                                                 const std::function<void()>& tick) {
                          const rewards::ValueData epoch = value_data(task, states);
                          const auto explained = rewards::explained_by_step(*online, epoch);
                          rewards::OnlineStep step =
                              rewards::learn_epoch(*online, epoch, options, tick);
                          auto figures = learnt_figures(explained, step);
                          *online = std::move(step.value);
                          return figures;
                        },
                    .weights =
                        [online] {
                          std::vector<at::Tensor> weights;
                          for (const auto& param : online->state.params)
                            weights.push_back(param.value.detach());
                          return weights;
                        },
                    .save =
                        [online](const fs::path& folder) {
                          rewards::save_online_value(value_folder(folder), *online);
                        },
                    .load =
                        [online](const fs::path& folder) {
                          rewards::load_online_value(value_folder(folder), *online);
                        },
                    .write =
                        [online](const fs::path& folder) {
                          if (online->updates > 0)
                            rewards::save_value_network(value_folder(folder), online->network);
                        },
                    .replay_epochs = options.replay_epochs};
  return result;
}

std::function<void(const fs::path& folder, const finetune::EpochStates& states)> states_writer(
    const finetune::TrainingTask& task) {
  return [&task, config = value_config(task)](const fs::path& folder,
                                              const finetune::EpochStates& states) {
    rewards::write_kept_epoch(folder, config, chains_of(task, states));
  };
}

}  // namespace tools
