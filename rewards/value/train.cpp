#include "rewards/value/train.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include "data/base/error.hpp"
#include "data/base/format.hpp"
#include "data/train/epoch_order.hpp"
#include "data/train/lr_schedule.hpp"
#include "rewards/combine/prompt_groups.hpp"
#include "rewards/value/batches.hpp"

namespace rewards {
namespace {

struct ValueFit {
  train::Loop loop;
  const ValueData& data;
  bool centre;
  ValueNetwork network;
  RatedChains chains{};
  int64_t epoch = -1;
  at::Tensor order{};  // of the places, in this epoch
};

double finite_reward_mean(const at::Tensor& rewards) {
  return rewards.masked_select(rewards.isfinite()).mean().item<double>();
}

struct PooledRewards {
  at::Tensor rewards;  // [all chains] fp64
  double spread = 0;   // within a prompt; 0: none differs there
};
PooledRewards pooled_rewards(const ValueData& data) {
  std::vector<at::Tensor> rewards;
  std::vector<int64_t> ids;
  for (size_t p = 0; p < data.prompts.size(); ++p) {
    rewards.push_back(data.prompts[p].rewards);
    ids.insert(ids.end(), static_cast<size_t>(rewards.back().size(0)), static_cast<int64_t>(p));
  }
  if (rewards.empty()) return {};
  const at::Tensor all = at::cat(rewards);
  return {all, spread_within_prompts(all, ids)};
}

// The chains of this update.
std::vector<ChainPlace> next_places(ValueFit& fit) {
  const auto count = static_cast<int64_t>(fit.chains.places.size());
  std::vector<ChainPlace> places;
  for (int64_t i = 0; i < fit.loop.options.train_batch_size; ++i) {
    const int64_t at = fit.loop.step * fit.loop.options.train_batch_size + i;
    if (fit.epoch != at / count) {
      fit.epoch = at / count;
      fit.order = train::epoch_order(fit.loop.options.seed, fit.epoch, count);
    }
    const int64_t place = fit.order[at % count].item<int64_t>();
    places.push_back(fit.chains.places[static_cast<size_t>(place)]);
  }
  return places;
}

double update_value(ValueFit& fit) {
  train::Loop& loop = fit.loop;
  const ValueBatch batch =
      value_batch(fit.network, fit.data, fit.chains, next_places(fit), loop.state.generator);
  train::zero_grad(loop.state.params);
  const at::Tensor loss = value_loss(fit.network.config, value_parts(fit.network, batch.input),
                                     batch.rewards, batch.means, fit.centre);
  loss.backward();
  const double rate = train::warm_rate(loop) * train::cosine_decay(train::progress(loop));
  train::finish_update(loop, static_cast<double>(batch.rewards.size(0)), [&] {
    train::adamw_step(loop.state.params, loop.state.adamw,
                      {.weight_decay = loop.options.weight_decay}, rate);
  });
  return loss.item<double>();
}

}  // namespace

bool reward_varies(const ValueData& data) { return pooled_rewards(data).spread > 0; }

void measure_reward(const ValueData& data, ValueConfig& config) {
  const PooledRewards pooled = pooled_rewards(data);
  if (!(pooled.spread > 0))
    throw data::BadInput(config.reward +
                         ": expected rewards that differ among the images of a prompt, found none; "
                         "draw more chains, or take another reward");
  config.mean = finite_reward_mean(pooled.rewards);
  config.spread = pooled.spread;
}

at::Tensor value_loss(const ValueConfig& config,
                      const ValueParts& parts,
                      const at::Tensor& rewards,
                      const at::Tensor& means,
                      bool centre) {
  const auto in_spreads = [&](const at::Tensor& difference) {
    return (difference / config.spread).to(parts.own.scalar_type());
  };
  if (!centre)
    return (parts.own + parts.prompt - in_spreads(rewards - config.mean)).square().mean();
  return (parts.own - in_spreads(rewards - means)).square().mean() +
         (parts.prompt - in_spreads(means - config.mean)).square().mean();
}

ValueNetwork train_value(const ValueConfig& config,
                         const ValueData& data,
                         const ValueTraining& options,
                         const std::function<void(const std::string&)>& print) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.loop.seed));
  ValueFit fit{.loop = train::new_loop(options.loop),
               .data = data,
               .centre = options.centre,
               .network = make_value_network(config, generator)};
  fit.chains = rated_chains(data);
  TORCH_CHECK(!fit.chains.places.empty(),
              "train_value: expected chains with finite rewards, got none");
  fit.loop.settings = {{"data", data.digest},
                       {"reward", config.reward},
                       {"reads_expected", config.reads_expected ? "yes" : "no"},
                       {"centre", options.centre ? "yes" : "no"}};
  train::take_weights(fit.loop, fit.network);
  double loss = 0;
  const auto report = [&] {
    train::record(fit.loop, false, {{"loss", loss}});
    print(train::progress_text(fit.loop) + data::formatted("  loss %.4f", loss));
  };
  train::run(fit.loop,
             {.update = [&] { loss = update_value(fit); }, .validate = [] {}, .report = report});
  return train::averaged(fit.loop, fit.network);
}

at::Tensor values_of(const ValueNetwork& w, const ValueData& data, size_t prompt) {
  const at::NoGradGuard no_grad;
  const PromptChains& chains = data.prompts[prompt];
  const int64_t count = chains.latents.size(0);
  const at::Device device = w.own_1.weight.device();
  const at::Tensor text = chains.text.to(device, at::kFloat).unsqueeze(0).expand({count, -1});
  std::vector<at::Tensor> steps;
  for (size_t k = 0; k < data.timesteps.size(); ++k) {
    const auto at_step = [&](const at::Tensor& all) {
      return all.select(1, static_cast<int64_t>(k)).to(device, at::kFloat);
    };
    steps.push_back(
        value_of(w, {.latents = at_step(chains.latents),
                     .expected = w.config.reads_expected ? at_step(chains.expected) : at::Tensor(),
                     .timesteps = at::full({count}, data.timesteps[k], device),
                     .text = text})
            .to(at::kCPU, at::kDouble));
  }
  return at::stack(steps, 1);
}

}  // namespace rewards
