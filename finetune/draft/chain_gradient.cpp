#include "finetune/draft/chain_gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/sampling/random_noise.hpp"

namespace finetune {
namespace {

// What one batch's functions share.
struct Pass {
  const TrainingTask& task;
  const DraftConfig& config;
  const DraftChain& chain;
  const Denoiser& policy;
  const Denoiser& reference;
  const DraftBatch& batch;
  std::vector<at::Generator> generators;  // one an image

  at::Tensor noise() { return diffusion::draw_noise(generators, task.latent_shape, task.device); }
  at::Tensor output(const Denoiser& network, const at::Tensor& x, size_t step) const {
    return network(x, chain.steps[step].timestep, batch.draw.prompt_ids);
  }
};

diffusion::GaussianStep take(Pass& pass, const at::Tensor& x, size_t step) {
  return diffusion::ddim_sample(pass.chain.steps[step], pass.chain.prediction,
                                pass.output(pass.policy, x, step), x, pass.noise());
}

// Steps first .. last - 1 without a graph.
at::Tensor run_blind(Pass& pass, at::Tensor x, int64_t first, int64_t last) {
  const at::NoGradGuard no_gradient;
  for (int64_t k = first; k < last; ++k) x = take(pass, x, static_cast<size_t>(k)).next;
  return x.detach();
}

// The KL of a step that went from x to `mean`, summed over the rows. -> [] fp64, with the graph of
// both networks: x depends on the earlier steps
at::Tensor kl_of(const Pass& pass, const at::Tensor& x, const at::Tensor& mean, size_t step) {
  const auto& coefficients = pass.chain.steps[step];
  const at::Tensor there =
      diffusion::ddim_log_prob(coefficients, pass.chain.prediction,
                               pass.output(pass.reference, x, step), x, mean.detach())
          .mean;
  return diffusion::step_kl(mean, there, coefficients.sigma).sum();
}

// The clean latents, with a graph of the steps of `cut`, and the KL of these, summed over rows.
struct Path {
  at::Tensor clean;  // [B, C, H, W]
  at::Tensor kl;     // [] fp64
};
Path run_with_graph(Pass& pass, at::Tensor x, const Truncation& cut) {
  Path path{.clean = {}, .kl = at::zeros({}, at::TensorOptions(at::kDouble).device(x.device()))};
  for (int64_t k = cut.first; k < cut.last; ++k) {
    const auto at_step = static_cast<size_t>(k);
    if (cut.predicts && k == cut.last - 1) {
      x = diffusion::predict(pass.chain.prediction, pass.chain.steps[at_step].here,
                             pass.output(pass.policy, x, at_step), x)
              .x0;
      break;
    }
    const diffusion::GaussianStep step = take(pass, x, at_step);
    if (pass.config.kl_coefficient > 0 && pass.chain.steps[at_step].sigma > 0)
      path.kl = path.kl + kl_of(pass, x, step.mean, at_step);
    x = step.next;
  }
  path.clean = x;
  return path;
}

// Rates the path's end and goes back through it. `part`: what its gradient counts.
void go_back(
    Pass& pass, const Path& path, double part, at::Generator& generator, DraftTerms& terms) {
  const RewardGradient at_end =
      reward_gradient(pass.task, pass.config, path.clean, pass.batch.prompts, generator);
  const double rows = static_cast<double>(path.clean.size(0)), kl = path.kl.item<double>() / rows,
               loss = -at_end.combined + pass.config.kl_coefficient * kl;
  terms.raw = terms.raw.defined() ? terms.raw + part * at_end.raw : part * at_end.raw;
  terms.reward += part * at_end.combined;
  terms.kl += part * kl;
  terms.saturated += part * at_end.saturated;
  terms.loss += part * pass.batch.share * loss;
  if (!std::isfinite(loss) || !at_end.gradient.isfinite().all().item<bool>()) {
    terms.fault = "the loss";
    return;
  }
  const at::Tensor objective = (path.clean * at_end.gradient).sum().to(at::kDouble) +
                               pass.config.kl_coefficient / rows * path.kl;
  (part * pass.batch.share * objective).backward();
}

}  // namespace

DraftChain make_draft_chain(const DraftConfig& config,
                            const diffusion::SchedulerConfig& scheduler) {
  if (config.last_steps > config.sample_num_steps)
    throw data::BadInput("last_steps: expected at most sample_num_steps (" +
                         std::to_string(config.sample_num_steps) + "), found " +
                         std::to_string(config.last_steps));
  if (config.kl_coefficient > 0 && config.sample_eta <= 0)
    throw data::BadInput(
        "kl_coefficient: expected steps with noise, found sample_eta 0, where steps have no KL; "
        "raise sample_eta, or leave kl_coefficient out");
  return {diffusion::ddim_steps(diffusion::make_schedule(scheduler), config.sample_num_steps,
                                config.sample_eta, 0),
          scheduler.prediction_type};
}

Truncation draw_truncation(const DraftConfig& config, int64_t steps, at::Generator& generator) {
  const int64_t most = config.last_steps == 0 ? steps : config.last_steps;
  const auto drawn = [&] {
    return at::randint(1, most + 1, {1}, generator, at::kLong).item<int64_t>();
  };
  if (config.early_x0) {
    const int64_t step = steps - drawn();
    return {.first = step, .last = step + 1, .predicts = true};
  }
  return {.first = steps - (config.random_truncation ? drawn() : most), .last = steps};
}

DraftTerms add_chain_gradient(const TrainingTask& task,
                              const DraftConfig& config,
                              const DraftChain& chain,
                              const Denoiser& policy,
                              const Denoiser& reference,
                              const DraftBatch& batch,
                              at::Generator& generator) {
  Pass pass{.task = task,
            .config = config,
            .chain = chain,
            .policy = policy,
            .reference = reference,
            .batch = batch,
            .generators = diffusion::image_generators(batch.draw.seeds)};
  const auto steps = static_cast<int64_t>(chain.steps.size());
  const Truncation cut = draw_truncation(config, steps, generator);
  const at::Tensor start = pass.noise();
  DraftTerms terms;
  if (config.variance_draws == 0) {
    const at::Tensor x = run_blind(pass, start, 0, cut.first);
    go_back(pass, run_with_graph(pass, x, cut), 1, generator, terms);
    return terms;
  }
  const at::Tensor clean = run_blind(pass, start, 0, steps);
  const auto draws = static_cast<double>(config.variance_draws);
  for (int64_t i = 0; i < config.variance_draws && terms.fault.empty(); ++i) {
    const at::Tensor x = diffusion::add_noise(chain.steps.back().here, clean, pass.noise());
    const Path path = run_with_graph(pass, x, {.first = steps - 1, .last = steps});
    go_back(pass, path, 1 / draws, generator, terms);
  }
  return terms;
}

}  // namespace finetune
