#include "rewards/value/kept_chains.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/storage/sha256.hpp"
#include "rewards/combine/reward_weights.hpp"
#include "rewards/value/files.hpp"

namespace fs = std::filesystem;
using data::BadInput;

namespace rewards {
namespace {

constexpr const char* kConfigFile = "reward.json";

// The folders of a run's epochs, oldest first.
std::vector<fs::path> epoch_folders(const fs::path& run) {
  std::error_code error;  // of a folder that is not there
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(run / "trajectories", error)) {
    const bool whole = entry.path().extension() != ".tmp";
    if (whole && fs::exists(entry.path() / kConfigFile)) found.push_back(entry.path());
  }
  if (found.empty())
    throw BadInput("--runs " + run.string() +
                   ": expected a finetuning run that keeps its trajectories, found none in it; "
                   "run `laurel finetune` with --save_trajectories N");
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<fs::path> chain_files(const fs::path& epoch) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(epoch))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// What each reward of an epoch weighs in the sum of `wanted`: M. Throws BadInput where the run was
// not trained for one of them.
std::vector<double> weights_of(const std::vector<RewardWeight>& wanted,
                               const std::vector<RewardWeight>& known,
                               const fs::path& epoch) {
  std::vector<double> weights(known.size(), 0);
  for (const auto& one : wanted) {
    const auto found = std::find_if(known.begin(), known.end(),
                                    [&](const RewardWeight& own) { return own.name == one.name; });
    if (found != known.end()) {
      weights[static_cast<size_t>(found - known.begin())] = one.weight;
      continue;
    }
    std::string names;
    for (const auto& own : known) names += (names.empty() ? "" : ", ") + own.name;
    throw BadInput("--reward " + one.name + ": expected a reward that " + epoch.string() +
                   " was trained for, found " + names + "; take one of these, or other runs");
  }
  return weights;
}

// The difference of an epoch from those before it, as "expected ..., found ..."; "": none.
std::string difference_of(const KeptChains& all, const ValueConfig& config, const ChainFile& file) {
  const std::string space = latent_space_difference(all.config.space, config.space);
  if (!space.empty()) return "expected the latents of the runs before it, found " + space;
  if (config.text_width != all.config.text_width || file.text.size(0) != config.text_width)
    return data::formatted("expected texts of width %lld as in the runs before it, found %lld",
                           static_cast<long long>(all.config.text_width),
                           static_cast<long long>(file.text.size(0)));
  if (all.data.prompts.empty()) return "";
  const size_t steps = all.data.timesteps.size();
  if (file.latents.size(1) != static_cast<int64_t>(steps))
    return data::formatted("expected %zu steps as in the runs before it, found %lld", steps,
                           static_cast<long long>(file.latents.size(1)));
  if (!at::equal(file.timesteps.to(at::kDouble), at::tensor(all.data.timesteps, at::kDouble)))
    return "expected the timesteps of the runs before it, found others";
  if (file.latents.sizes().slice(2) != all.data.prompts[0].latents.sizes().slice(2))
    return "expected latents of the size of the runs before it, found others";
  return "";
}

void check_of_run(const fs::path& path, const ChainFile& file, size_t rewards) {
  const bool whole = file.rewards.defined() && file.text.defined() && file.timesteps.defined() &&
                     file.rewards.size(1) == static_cast<int64_t>(rewards);
  if (!whole)
    throw BadInput(path.string() + ": expected the rewards of a finetuning run's chains, found " +
                   "none; the file is damaged: delete its folder");
}

void add_epoch(KeptChains& all,
               const fs::path& epoch,
               const std::vector<RewardWeight>& wanted,
               std::string& identity) {
  const ValueConfig config = read_value_config(epoch / kConfigFile);
  const auto known = parse_reward_weights(config.reward);
  const auto weights = weights_of(wanted, known, epoch);
  for (const fs::path& path : chain_files(epoch)) {
    const ChainFile file = read_chain_file(path);
    check_of_run(path, file, known.size());
    const std::string difference = difference_of(all, config, file);
    if (!difference.empty())
      throw BadInput("--runs: " + path.string() + ": " + difference + "; leave that run out");
    if (all.data.prompts.empty()) {
      const at::Tensor timesteps = file.timesteps.to(at::kDouble).contiguous();
      all.data.timesteps = {timesteps.data_ptr<double>(),
                            timesteps.data_ptr<double>() + timesteps.numel()};
    }
    all.data.prompts.push_back(weighted_chains(file, weights));
    all.prompts.push_back(file.prompt);
    const at::Tensor sum = all.data.prompts.back().rewards;
    identity += path.parent_path().filename().string() + file.prompt;
    identity.append(static_cast<const char*>(sum.const_data_ptr()), sum.nbytes());
  }
}

}  // namespace

void write_kept_epoch(const fs::path& folder,
                      const ValueConfig& config,
                      const std::vector<ChainFile>& prompts) {
  write_value_config(folder / kConfigFile, config);
  for (size_t i = 0; i < prompts.size(); ++i)
    write_chain_file(folder / data::formatted("%05zu.safetensors", i), prompts[i]);
}

PromptChains weighted_chains(const ChainFile& chains, const std::vector<double>& weights) {
  at::Tensor sum = at::zeros({chains.rewards.size(0)}, at::kDouble);
  for (size_t m = 0; m < weights.size(); ++m) {
    if (weights[m] != 0)
      sum += weights[m] * chains.rewards.select(1, static_cast<int64_t>(m)).to(at::kDouble);
  }
  return {.latents = chains.latents, .expected = {}, .rewards = sum, .text = chains.text};
}

KeptChains read_kept_chains(const std::vector<fs::path>& runs, const std::string& reward) {
  KeptChains all;
  std::string identity;
  for (const fs::path& run : runs) {
    for (const fs::path& epoch : epoch_folders(run)) {
      if (all.prompts.empty()) {
        all.config = read_value_config(epoch / kConfigFile);
        if (!reward.empty() && reward != all.config.reward) {
          all.config.reward = reward;
          all.config.unit = "";
        }
      }
      add_epoch(all, epoch, parse_reward_weights(all.config.reward), identity);
    }
  }
  all.data.digest = data::sha256(identity);
  return all;
}

}  // namespace rewards
