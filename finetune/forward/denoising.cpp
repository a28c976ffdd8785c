#include "finetune/forward/denoising.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/base/splitmix.hpp"
#include "data/device/transfer.hpp"
#include "diffusion/pipeline/guidance.hpp"
#include "diffusion/sampling/random_noise.hpp"
#include "finetune/datasets/timesteps.hpp"
#include "rewards/combine/prompt_groups.hpp"

namespace finetune {
namespace {

// The rows of both, where there are any.
at::Tensor stacked(const at::Tensor& first, const at::Tensor& second) {
  return first.defined() ? at::cat({first, second}) : first;
}

}  // namespace

NoiseNetwork unguided_network(const TrainingTask& task,
                              const diffusion::Network& network,
                              const std::vector<TrainingPrompt>& prompts,
                              double scale,
                              const ProcessGroup& ranks) {
  const at::NoGradGuard no_gradient;
  const diffusion::TextCondition text = encode(task, prompts), empty = unconditional(task);
  diffusion::Conditioning all;
  all.text = {stacked(text.hidden, empty.hidden), stacked(text.pooled, empty.pooled)};
  all.time_ids = size_conditions(task);
  const auto own = diffusion::with_guidance_input(network, all, {.scale = scale});
  return [network, own, ranks](const at::Tensor& x, const at::Tensor& t,
                               const std::vector<int64_t>& rows) {
    heartbeat(ranks);
    const auto inputs =
        diffusion::branch_inputs(network, own, diffusion::GuidanceBatch::kPrompt, rows);
    return diffusion::guided_forward(network, x, t.to(at::kFloat), inputs, {.scale = 1});
  };
}

NoiseDraws draw_noises(const std::vector<int64_t>& groups,
                       int64_t draws,
                       int64_t num_train_timesteps,
                       double proportion_empty_prompts,
                       at::Generator& generator) {
  const auto members = rewards::rows_of_groups(groups);
  const auto rows = static_cast<int64_t>(groups.size()),
             count = static_cast<int64_t>(members.size());
  NoiseDraws result{.t = at::zeros({rows, draws}, at::kLong),
                    .seeds = std::vector<uint64_t>(static_cast<size_t>(rows * draws)),
                    .drops = at::zeros({rows, draws}, at::kBool)};
  const at::Tensor spread = spread_timesteps(count * draws, num_train_timesteps, generator)
                                .view({draws, count});  // [s][g]: ascending
  const at::Tensor order = at::randperm(count, generator);
  const at::Tensor drops =
      at::rand({count, draws}, generator, at::kDouble) < proportion_empty_prompts;
  const auto base =
      static_cast<uint64_t>(at::randint(INT64_MAX, {1}, generator, at::kLong).item<int64_t>());
  for (int64_t g = 0; g < count; ++g) {
    const at::Tensor t = spread.select(1, order[g].item<int64_t>());
    for (const int64_t row : members[static_cast<size_t>(g)]) {
      result.t[row].copy_(t);
      result.drops[row].copy_(drops[g]);
      for (int64_t s = 0; s < draws; ++s)
        result.seeds[static_cast<size_t>(row * draws + s)] =
            data::splitmix64(base + static_cast<uint64_t>(g * draws + s)) >> 1;
    }
  }
  return result;
}

NoiseDraws selected(const NoiseDraws& draws, const std::vector<int64_t>& rows) {
  const at::Tensor index = at::tensor(rows, at::kLong);
  NoiseDraws some{draws.t.index_select(0, index), {}, draws.drops.index_select(0, index)};
  for (const int64_t row : rows) {
    const auto first = draws.seeds.begin() + row * draws.count();
    some.seeds.insert(some.seeds.end(), first, first + draws.count());
  }
  return some;
}

NoisedBatch noised_batch(const diffusion::NoiseSchedule& schedule,
                         const CleanImages& images,
                         const NoiseDraws& draws,
                         const std::vector<NoisedEntry>& entries,
                         at::Device device) {
  std::vector<int64_t> rows, times;
  std::vector<uint64_t> seeds;
  NoisedBatch batch;
  for (const auto& entry : entries) {
    const bool dropped = draws.drops[entry.row][entry.draw].item<bool>();
    rows.push_back(entry.image);
    times.push_back(draws.t[entry.row][entry.draw].item<int64_t>());
    seeds.push_back(draws.seeds[static_cast<size_t>(entry.row * draws.count() + entry.draw)]);
    batch.prompts.push_back(dropped ? images.empty_prompt
                                    : images.prompts[static_cast<size_t>(entry.image)]);
  }
  const at::Tensor clean =
      data::to_device(images.latents.index_select(0, at::tensor(rows, at::kLong)), device);
  auto generators = diffusion::image_generators(seeds);
  const at::Tensor noise =
      diffusion::draw_noise(generators, images.latents.sizes().slice(1), device)
          .to(clean.scalar_type());
  batch.t = data::to_device(times, device);
  batch.x = diffusion::add_noise(schedule, clean, noise, batch.t);
  batch.target = diffusion::training_target(schedule, clean, noise, batch.t);
  return batch;
}

}  // namespace finetune
