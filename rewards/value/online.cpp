#include "rewards/value/online.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/value/batches.hpp"
#include "rewards/value/explained.hpp"
#include "rewards/value/files.hpp"

namespace fs = std::filesystem;

namespace rewards {
namespace {

constexpr double kMaxGradNorm = 1.0;
constexpr const char *kStateFile = "state.safetensors", *kReplayFile = "replay.safetensors";

// Makes the network's tensors the parameters that are trained.
void take_parameters(OnlineValue& value) {
  value.state.params = train::parameters_of(value.network, "");
  value.state.adamw = train::make_adamw(value.state.params);
}

// With tensors of its own; the replay's are shared, since nobody changes them.
OnlineValue deep_copy(const OnlineValue& value) {
  OnlineValue copy = value;
  take_parameters(copy);
  const auto clones = [](std::vector<at::Tensor>& tensors) {
    for (at::Tensor& tensor : tensors) tensor = tensor.clone();
  };
  copy.state.adamw.step = value.state.adamw.step.clone();
  copy.state.adamw.exp_avg = value.state.adamw.exp_avg;
  copy.state.adamw.exp_avg_sq = value.state.adamw.exp_avg_sq;
  clones(copy.state.adamw.exp_avg);
  clones(copy.state.adamw.exp_avg_sq);
  copy.state.generator = value.state.generator.clone();
  return copy;
}

ValueData whole_replay(const std::vector<ValueData>& epochs) {
  ValueData all{.prompts = {}, .timesteps = epochs.back().timesteps};
  for (const ValueData& epoch : epochs)
    all.prompts.insert(all.prompts.end(), epoch.prompts.begin(), epoch.prompts.end());
  return all;
}

double update_online(OnlineValue& value,
                     const ValueData& data,
                     const RatedChains& chains,
                     const OnlineOptions& options) {
  train::TrainState& state = value.state;
  const at::Tensor drawn = at::randint(static_cast<int64_t>(chains.places.size()),
                                       {options.batch_size}, state.generator, at::kLong);
  std::vector<ChainPlace> places;
  for (int64_t i = 0; i < options.batch_size; ++i)
    places.push_back(chains.places[static_cast<size_t>(drawn[i].item<int64_t>())]);
  const ValueBatch batch = value_batch(value.network, data, chains, places, state.generator);
  train::zero_grad(state.params);
  const at::Tensor loss = value_loss(value.network.config, value_parts(value.network, batch.input),
                                     batch.rewards, batch.means, /*centre=*/true);
  loss.backward();
  if (std::isfinite(train::clip_grad_norm(state.params, kMaxGradNorm)))
    train::adamw_step(state.params, state.adamw, {.weight_decay = options.weight_decay},
                      options.learning_rate);
  ++value.updates;
  return loss.item<double>();
}

const at::Tensor& part_of(const data::Weights& file, const std::string& name, int64_t dimensions) {
  const auto found = file.tensors.find(name);
  if (found != file.tensors.end() && found->second.dim() == dimensions) return found->second;
  throw data::BadInput(file.source + ": expected " + name + " of " + std::to_string(dimensions) +
                       " dimensions, found none; the checkpoint is damaged");
}

void save_replay(const fs::path& path, const std::vector<ValueData>& replay) {
  data::Weights file;
  for (size_t e = 0; e < replay.size(); ++e) {
    const std::string epoch = std::to_string(e) + ".";
    file.tensors[epoch + "timesteps"] = at::tensor(replay[e].timesteps, at::kDouble);
    for (size_t p = 0; p < replay[e].prompts.size(); ++p) {
      const std::string prompt = epoch + std::to_string(p) + ".";
      file.tensors[prompt + "latents"] = replay[e].prompts[p].latents;
      file.tensors[prompt + "rewards"] = replay[e].prompts[p].rewards;
      file.tensors[prompt + "text"] = replay[e].prompts[p].text;
    }
  }
  data::write_safetensors(path, file);
}

// In memory: the checkpoint may be removed.
std::vector<ValueData> load_replay(const fs::path& path) {
  const data::Weights file = data::read_safetensors(path);
  std::vector<ValueData> replay;
  for (size_t e = 0; data::has(file, std::to_string(e) + ".timesteps"); ++e) {
    const std::string epoch = std::to_string(e) + ".";
    const at::Tensor timesteps = part_of(file, epoch + "timesteps", 1).to(at::kDouble);
    ValueData data{.prompts = {},
                   .timesteps = {timesteps.data_ptr<double>(),
                                 timesteps.data_ptr<double>() + timesteps.numel()}};
    for (size_t p = 0; data::has(file, epoch + std::to_string(p) + ".latents"); ++p) {
      const std::string prompt = epoch + std::to_string(p) + ".";
      data.prompts.push_back({.latents = part_of(file, prompt + "latents", 5).clone(),
                              .expected = {},
                              .rewards = part_of(file, prompt + "rewards", 1).clone(),
                              .text = part_of(file, prompt + "text", 1).clone()});
    }
    replay.push_back(std::move(data));
  }
  return replay;
}

}  // namespace

OnlineValue make_online_value(const ValueConfig& config, int64_t seed, at::Device device) {
  OnlineValue value;
  value.state.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(seed));
  value.network = make_value_network(config, value.state.generator);
  for_each_tensor(value.network, "",
                  [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(device); });
  take_parameters(value);
  return value;
}

std::vector<double> explained_by_step(const OnlineValue& value, const ValueData& epoch) {
  if (value.updates == 0 || !reward_varies(epoch)) return {};
  std::vector<at::Tensor> told, earned;
  std::vector<int64_t> ids;
  for (size_t p = 0; p < epoch.prompts.size(); ++p) {
    told.push_back(values_of(value.network, epoch, p));
    earned.push_back(epoch.prompts[p].rewards);
    ids.insert(ids.end(), static_cast<size_t>(earned.back().size(0)), static_cast<int64_t>(p));
  }
  const at::Tensor values = at::cat(told), rewards = at::cat(earned);
  std::vector<double> shares;
  for (int64_t k = 0; k < values.size(1); ++k)
    shares.push_back(explained_within_prompts(values.select(1, k), rewards, ids).value);
  return shares;
}

OnlineStep learn_epoch(const OnlineValue& value,
                       const ValueData& epoch,
                       const OnlineOptions& options,
                       const std::function<void()>& tick) {
  OnlineStep step{deep_copy(value)};
  std::vector<ValueData>& replay = step.value.replay;
  replay.push_back(epoch);
  if (static_cast<int64_t>(replay.size()) > options.replay_epochs) replay.erase(replay.begin());
  const ValueData data = whole_replay(replay);
  if (!reward_varies(data)) return step;
  if (step.value.updates == 0) measure_reward(data, step.value.network.config);
  const RatedChains chains = rated_chains(data);
  for (int64_t i = 0; i < options.updates; ++i) {
    step.loss += update_online(step.value, data, chains, options);
    tick();
  }
  step.loss /= static_cast<double>(options.updates);
  return step;
}

void save_online_value(const fs::path& folder, const OnlineValue& value) {
  train::TrainState state = value.state;
  state.metadata = {{"updates", std::to_string(value.updates)}};
  save_value_network(folder, value.network);
  train::save_state(folder / kStateFile, state);
  save_replay(folder / kReplayFile, value.replay);
}

void load_online_value(const fs::path& folder, OnlineValue& value) {
  const at::NoGradGuard no_gradient;
  const fs::path file = folder / kStateFile;
  train::load_state(file, value.state);
  value.updates = data::noted_number<int64_t>(value.state.metadata, "updates", file.string());
  const ValueConfig saved = read_value_config(folder / "reward.json");
  value.network.config.mean = saved.mean;
  value.network.config.spread = saved.spread;
  value.replay = load_replay(folder / kReplayFile);
}

}  // namespace rewards
