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

// Those of the draw; without any, each image has a branch of its own.
BranchSizes sizes_of(const SampleRequests& draw, const SamplingPlan& chain) {
  const auto images = static_cast<int64_t>(draw.seeds.size());
  BranchSizes sizes = draw.branch_sizes;
  if (sizes.empty()) sizes.assign(chain.steps.size(), 1);
  const bool divides = std::adjacent_find(sizes.begin(), sizes.end(), [](int64_t a, int64_t b) {
                         return b < 1 || a % b != 0;
                       }) == sizes.end();
  TORCH_CHECK(
      sizes.size() == chain.steps.size() && sizes.back() == 1 && divides && images % sizes[0] == 0,
      "rollout: branch_sizes are not those of ", chain.steps.size(), " steps of ", images,
      " images");
  return sizes;
}

Trajectories empty_trajectories(const SampleRequests& draw, const SamplingPlan& chain) {
  const auto count = static_cast<int64_t>(draw.seeds.size());
  const auto steps = static_cast<int64_t>(chain.steps.size());
  const auto figures = at::TensorOptions().dtype(at::kDouble).device(chain.device);
  Trajectories result;
  result.branch_sizes = sizes_of(draw, chain);
  const auto stored = [&](int64_t size) {
    std::vector<int64_t> shape{count / size};
    shape.insert(shape.end(), chain.latent_shape.begin(), chain.latent_shape.end());
    return data::pinned_empty(shape, at::kFloat, chain.device);
  };
  result.latents.push_back(stored(result.branch_sizes[0]));
  for (const int64_t size : result.branch_sizes) {
    result.latents.push_back(stored(size));
    result.reference_means.push_back(stored(size));
  }
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

// The same function, `batch` rows at a time.
Denoiser in_batches(const Denoiser& policy, int64_t batch) {
  return [=](const at::Tensor& x, double timestep, const std::vector<int64_t>& prompt_ids) {
    if (x.size(0) <= batch) return policy(x, timestep, prompt_ids);
    std::vector<at::Tensor> parts;
    for (int64_t start = 0; start < x.size(0); start += batch) {
      const int64_t count = std::min(batch, x.size(0) - start);
      parts.push_back(policy(x.narrow(0, start, count), timestep, slice(prompt_ids, start, count)));
    }
    return at::cat(parts);
  };
}

struct Models {
  Denoiser policy, reference, teacher;  // as of rollout
};

// One step of the branches x and the reference's mean of it. noise: like x
std::pair<diffusion::GaussianStep, at::Tensor> draw_step(const Models& models,
                                                         const SamplingPlan& chain,
                                                         size_t k,
                                                         const at::Tensor& x,
                                                         const at::Tensor& noise,
                                                         const std::vector<int64_t>& ids) {
  const auto& step = chain.steps[k];
  auto drawn = diffusion::ddim_sample(step, chain.prediction, models.policy(x, step.timestep, ids),
                                      x, noise);
  if (!models.reference) return {drawn, drawn.mean};
  const at::Tensor mean =
      diffusion::ddim_log_prob(step, chain.prediction, models.reference(x, step.timestep, ids), x,
                               drawn.next)
          .mean;
  return {drawn, mean};
}

// Draws the images [start, start + count), whole trees.
void draw_trees(const Models& models,
                const SampleRequests& draw,
                const SamplingPlan& chain,
                int64_t start,
                int64_t count,
                Trajectories& result) {
  const auto& sizes = result.branch_sizes;
  auto generators = diffusion::image_generators(slice(draw.seeds, start, count));
  at::Tensor x = first_of_branch(initial_noise(draw, chain, start, count, generators), sizes[0]);
  result.latents[0].narrow(0, start / sizes[0], x.size(0)).copy_(x, /*non_blocking=*/true);
  for (size_t k = 0; k < chain.steps.size(); ++k) {
    const int64_t size = sizes[k];
    const double sigma = chain.steps[k].sigma;
    x = of_images(x, sizes[k == 0 ? 0 : k - 1] / size);
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < count; i += size)
      ids.push_back(draw.prompt_ids[static_cast<size_t>(start + i)]);
    const at::Tensor noise =
        first_of_branch(diffusion::draw_noise(generators, chain.latent_shape, chain.device), size);
    const auto [drawn, mean] = draw_step(models, chain, k, x, noise, ids);
    const auto keep = [&](const at::Tensor& all, const at::Tensor& figures) {
      all.narrow(0, start, count)
          .select(1, static_cast<int64_t>(k))
          .copy_(of_images(figures, size));
    };
    if (sigma > 0) {
      keep(result.log_ratio, diffusion::log_ratio(drawn.mean, mean, drawn.next, sigma));
      keep(result.kl, diffusion::step_kl(drawn.mean, mean, sigma));
    }
    const auto rows = [&](const at::Tensor& all) { return all.narrow(0, start / size, x.size(0)); };
    rows(result.reference_means[k]).copy_(mean, /*non_blocking=*/true);
    if (models.teacher)
      rows(result.targets[k])
          .copy_(models.teacher(x, chain.steps[k].timestep, ids), /*non_blocking=*/true);
    rows(result.latents[k + 1]).copy_(drawn.next, /*non_blocking=*/true);
    x = drawn.next;
  }
}

// Branches that part at a step without noise would stay equal.
void check_parting(const FinetuneConfig& config,
                   const std::vector<diffusion::StepCoefficients>& steps) {
  for (const int64_t step : config.branch) {
    const bool at_noise = step == 0 && !config.share_noise;  // they start at different noise
    if (at_noise || steps.at(static_cast<size_t>(step)).sigma > 0) continue;
    throw data::BadInput("branch: expected steps with noise, found " + std::to_string(step) +
                         ", whose sigma is 0: images that part there would be equal; leave it "
                         "out, or raise sigma_min");
  }
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
  branch_sizes(config);  // refuses what is no tree
  check_parting(config, chain.steps);
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

std::vector<int64_t> unmasked_steps(const SamplingPlan& chain) {
  std::vector<int64_t> active;
  for (int64_t k = 0; k < chain.mask.size(0); ++k) {
    if (chain.mask[k].item<double>() != 0) active.push_back(k);
  }
  return active;
}

int64_t latent_dimensions(const SamplingPlan& chain) {
  int64_t count = 1;
  for (const int64_t size : chain.latent_shape) count *= size;
  return count;
}

Trajectories rollout(const Denoiser& policy,
                     const Denoiser& reference,
                     const SampleRequests& draw,
                     const SamplingPlan& chain,
                     int64_t batch,
                     const Denoiser& teacher) {
  const at::NoGradGuard no_gradient;
  Trajectories result = empty_trajectories(draw, chain);
  if (teacher) {
    for (const auto& means : result.reference_means)
      result.targets.push_back(data::pinned_empty(means.sizes(), at::kFloat, chain.device));
  }
  const auto of = [batch](const Denoiser& some) {
    return some ? in_batches(some, batch) : Denoiser();
  };
  const Models models{of(policy), of(reference), of(teacher)};
  const int64_t tree = result.branch_sizes[0],
                images = std::max<int64_t>(1, batch / tree) * tree;  // at once
  const auto total = static_cast<int64_t>(draw.seeds.size());
  for (int64_t start = 0; start < total; start += images)
    draw_trees(models, draw, chain, start, std::min(images, total - start), result);
  result.log_ratio = data::to_host(result.log_ratio);
  result.kl = data::to_host(result.kl);
  return result;
}

at::Tensor final_latents(const Trajectories& trajectories) { return trajectories.latents.back(); }

bool all_finite(const Trajectories& trajectories) {
  return std::all_of(trajectories.latents.begin(), trajectories.latents.end(),
                     [](const at::Tensor& x) { return x.isfinite().all().item<bool>(); });
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

}  // namespace finetune
