#include "rewards/value/batches.hpp"

#include <ATen/ATen.h>

namespace rewards {

RatedChains rated_chains(const ValueData& data) {
  RatedChains chains;
  for (size_t p = 0; p < data.prompts.size(); ++p) {
    const at::Tensor& rewards = data.prompts[p].rewards;
    const at::Tensor finite = rewards.isfinite();
    chains.means.push_back(rewards.masked_select(finite).mean().item<double>());
    for (int64_t row = 0; row < rewards.size(0); ++row)
      if (finite[row].item<bool>()) chains.places.push_back({p, row});
  }
  return chains;
}

ValueBatch value_batch(const ValueNetwork& w,
                       const ValueData& data,
                       const RatedChains& chains,
                       const std::vector<ChainPlace>& places,
                       at::Generator& generator) {
  const auto steps = static_cast<int64_t>(data.timesteps.size());
  const at::Tensor drawn =
      at::randint(steps, {static_cast<int64_t>(places.size())}, generator, at::kLong);
  std::vector<at::Tensor> latents, expected, text;
  std::vector<double> timesteps, rewards, means;
  for (size_t i = 0; i < places.size(); ++i) {
    const PromptChains& prompt = data.prompts[places[i].prompt];
    const int64_t row = places[i].row, step = drawn[static_cast<int64_t>(i)].item<int64_t>();
    latents.push_back(prompt.latents[row][step]);
    if (w.config.reads_expected) expected.push_back(prompt.expected[row][step]);
    text.push_back(prompt.text);
    timesteps.push_back(data.timesteps[static_cast<size_t>(step)]);
    rewards.push_back(prompt.rewards[row].item<double>());
    means.push_back(chains.means[places[i].prompt]);
  }
  const at::Device device = w.own_1.weight.device();
  const auto whole = [&](const std::vector<at::Tensor>& rows) {
    return rows.empty() ? at::Tensor() : at::stack(rows).to(device, at::kFloat);
  };
  const auto numbers = [&](const std::vector<double>& values) {
    return at::tensor(values, at::kDouble).to(device);
  };
  return {{whole(latents), whole(expected), numbers(timesteps), whole(text)},
          numbers(rewards),
          numbers(means)};
}

}  // namespace rewards
