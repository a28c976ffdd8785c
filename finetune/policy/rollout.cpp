#include "finetune/policy/rollout.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "data/device/transfer.hpp"
#include "diffusion/sampling/random_noise.hpp"
#include "diffusion/sampling/step_kinds.hpp"

namespace finetune {
namespace {

constexpr double kSharp = 8;  // times the median

template <class T>
std::vector<T> slice(const std::vector<T>& all, int64_t start, int64_t count) {
  return {all.begin() + start, all.begin() + start + count};
}

Trajectories empty_trajectories(const SampleRequests& draw, const SamplingPlan& chain) {
  const auto count = static_cast<int64_t>(draw.seeds.size());
  const auto steps = static_cast<int64_t>(chain.steps.size());
  std::vector<int64_t> shape{count, steps};
  shape.insert(shape.end(), chain.latent_shape.begin(), chain.latent_shape.end());
  const auto figures = at::TensorOptions().dtype(at::kDouble).device(chain.device);
  Trajectories result;
  result.reference_means = data::pinned_empty(shape, at::kFloat, chain.device);
  shape[1] = steps + 1;
  result.latents = data::pinned_empty(shape, at::kFloat, chain.device);
  result.log_ratio = at::zeros({count, steps}, figures);
  result.kl = at::zeros({count, steps}, figures);
  result.prompt_ids = draw.prompt_ids;
  return result;
}

at::Tensor initial_noise(const SampleRequests& draw,
                         const SamplingPlan& chain,
                         int64_t start,
                         int64_t count,
                         std::vector<at::Generator>& generators) {
  if (draw.noise_seeds.empty())
    return diffusion::draw_noise(generators, chain.latent_shape, chain.device);
  auto own = diffusion::image_generators(slice(draw.noise_seeds, start, count));
  return diffusion::draw_noise(own, chain.latent_shape, chain.device);
}

}  // namespace

std::vector<int64_t> high_kl_steps(const std::vector<diffusion::StepCoefficients>& steps) {
  std::vector<double> costs;
  for (const auto& step : steps) {
    if (step.sigma > 0) costs.push_back(step.kappa * step.kappa / (step.sigma * step.sigma));
  }
  if (costs.empty()) return {};
  std::nth_element(costs.begin(), costs.begin() + static_cast<int64_t>(costs.size() / 2),
                   costs.end());
  const double limit = kSharp * costs[costs.size() / 2];
  std::vector<int64_t> sharp;
  for (size_t k = 0; k < steps.size(); ++k) {
    const double ratio = steps[k].sigma > 0 ? steps[k].kappa / steps[k].sigma : 0;
    if (ratio * ratio > limit) sharp.push_back(static_cast<int64_t>(k));
  }
  return sharp;
}

SamplingPlan make_sampling_plan(const FinetuneConfig& config,
                                const diffusion::SchedulerConfig& scheduler,
                                const std::vector<int64_t>& latent_shape,
                                at::Device device) {
  SamplingPlan chain;
  chain.steps = diffusion::chain_steps(diffusion::make_schedule(scheduler), config.sample_num_steps,
                                       diffusion::step_kind_of(config.step_kind, "step_kind"),
                                       config.sample_eta, config.sigma_min);
  chain.prediction = scheduler.prediction_type;
  chain.latent_shape = latent_shape;
  chain.device = device;
  chain.mask = at::ones({static_cast<int64_t>(chain.steps.size())}, at::kDouble);
  for (size_t k = 0; k < chain.steps.size(); ++k) {
    if (chain.steps[k].sigma <= 0) chain.mask[static_cast<int64_t>(k)] = 0;
  }
  for (const int64_t step : config.skip_steps) {
    if (step < 0 || step >= chain.mask.size(0)) {
      throw data::BadInput("skip_steps: expected steps from 0 to " +
                           std::to_string(chain.mask.size(0) - 1) + " (sample_num_steps), found " +
                           std::to_string(step));
    }
    chain.mask[step] = 0;
  }
  if (config.skip_sharp_steps) {
    for (const int64_t step : high_kl_steps(chain.steps)) chain.mask[step] = 0;
  }
  if (active_steps(chain) == 0) {
    throw data::BadInput(
        "sample_eta, skip_steps: expected at least one step with noise in the objective, found "
        "none; "
        "raise sample_eta above 0 or skip fewer steps");
  }
  return chain;
}

int64_t active_steps(const SamplingPlan& chain) { return chain.mask.sum().item<int64_t>(); }

int64_t latent_dimensions(const SamplingPlan& chain) {
  int64_t count = 1;
  for (const int64_t size : chain.latent_shape) count *= size;
  return count;
}

Trajectories rollout(const Denoiser& policy,
                     const Denoiser& reference,
                     const SampleRequests& draw,
                     const SamplingPlan& chain,
                     int64_t batch) {
  const at::NoGradGuard no_gradient;
  Trajectories result = empty_trajectories(draw, chain);
  const auto total = static_cast<int64_t>(draw.seeds.size());
  for (int64_t start = 0; start < total; start += batch) {
    const int64_t count = std::min(batch, total - start);
    const auto ids = slice(draw.prompt_ids, start, count);
    auto generators = diffusion::image_generators(slice(draw.seeds, start, count));
    at::Tensor x = initial_noise(draw, chain, start, count, generators);
    const auto rows = [&](const at::Tensor& all) { return all.narrow(0, start, count); };
    rows(result.latents).select(1, 0).copy_(x, /*non_blocking=*/true);
    for (size_t k = 0; k < chain.steps.size(); ++k) {
      const auto& step = chain.steps[k];
      const auto at_step = static_cast<int64_t>(k);
      const at::Tensor noise = diffusion::draw_noise(generators, chain.latent_shape, chain.device);
      const auto drawn =
          diffusion::ddim_sample(step, chain.prediction, policy(x, step.timestep, ids), x, noise);
      at::Tensor mean = drawn.mean;
      if (reference) {
        mean = diffusion::ddim_log_prob(step, chain.prediction, reference(x, step.timestep, ids), x,
                                        drawn.next)
                   .mean;
      }
      if (step.sigma > 0) {
        rows(result.log_ratio)
            .select(1, at_step)
            .copy_(diffusion::log_ratio(drawn.mean, mean, drawn.next, step.sigma));
        rows(result.kl).select(1, at_step).copy_(diffusion::step_kl(drawn.mean, mean, step.sigma));
      }
      rows(result.reference_means).select(1, at_step).copy_(mean, /*non_blocking=*/true);
      rows(result.latents).select(1, at_step + 1).copy_(drawn.next, /*non_blocking=*/true);
      x = drawn.next;
    }
  }
  result.log_ratio = data::to_host(result.log_ratio);
  result.kl = data::to_host(result.kl);
  return result;
}

at::Tensor final_latents(const Trajectories& trajectories) {
  return trajectories.latents.select(1, trajectories.latents.size(1) - 1);
}

DrawLatents chain_drawer(const Denoiser& policy,
                         const Denoiser& reference,
                         const SamplingPlan& chain,
                         int64_t batch) {
  return [=](const SampleRequests& draw) {
    const Trajectories drawn = rollout(policy, reference, draw, chain, batch);
    return DrawnLatents{final_latents(drawn), drawn.kl};
  };
}

Trajectories joined(const Trajectories& first, const Trajectories& second, int64_t prompt_offset) {
  Trajectories result{at::cat({first.latents, second.latents}),
                      at::cat({first.reference_means, second.reference_means}),
                      at::cat({first.log_ratio, second.log_ratio}), at::cat({first.kl, second.kl}),
                      first.prompt_ids};
  for (const int64_t id : second.prompt_ids) result.prompt_ids.push_back(id + prompt_offset);
  return result;
}

}  // namespace finetune
