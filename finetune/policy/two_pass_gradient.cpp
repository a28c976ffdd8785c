#include "finetune/policy/two_pass_gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "data/device/transfer.hpp"

namespace finetune {
namespace {

// Transitions of one step. Each is stored by the branch of its images.
struct Transitions {
  int64_t step = 0;
  at::Tensor from, to;  // [b] int64: rows of the step's latents, and of what it drew
  std::vector<int64_t> prompt_ids;
};

// Those of step k of the trajectories rows[start .. end): each comes with the first image of its
// branch.
Transitions transitions_of(const Trajectories& trajectories,
                           const std::vector<int64_t>& rows,
                           int64_t start,
                           int64_t end,
                           int64_t k) {
  const auto& sizes = trajectories.branch_sizes;
  const auto step = static_cast<size_t>(k);
  const int64_t size = sizes[step], before = sizes[step == 0 ? 0 : step - 1];
  std::vector<int64_t> from, to;
  Transitions result{.step = k, .from = {}, .to = {}, .prompt_ids = {}};
  for (int64_t i = start; i < end; ++i) {
    const int64_t row = rows[static_cast<size_t>(i)];
    if (row % size != 0) continue;
    from.push_back(row / before);
    to.push_back(row / size);
    result.prompt_ids.push_back(trajectories.prompt_ids[static_cast<size_t>(row)]);
  }
  const at::Device device = trajectories.latents[0].device();
  result.from = data::to_device(from, device);
  result.to = data::to_device(to, device);
  return result;
}

// Calls `work` with the transitions of these steps, of `batch` trajectories at a time, and how many
// of the step's came before. rows: whole trees
void for_transitions(const Trajectories& trajectories,
                     const std::vector<int64_t>& rows,
                     const std::vector<int64_t>& steps,
                     int64_t batch,
                     const std::function<void(int64_t first, const Transitions& chosen)>& work) {
  const auto total = static_cast<int64_t>(rows.size());
  for (int64_t start = 0; start < total; start += batch) {
    for (const int64_t k : steps) {
      const int64_t size = trajectories.branch_sizes[static_cast<size_t>(k)];
      const Transitions chosen =
          transitions_of(trajectories, rows, start, std::min(total, start + batch), k);
      if (!chosen.prompt_ids.empty()) work((start + size - 1) / size, chosen);
    }
  }
}

// The squared distance of the network's output from the target, summed over C H W. -> [b] fp64
at::Tensor output_error(const at::Tensor& output, const at::Tensor& target) {
  return (output.to(at::kDouble) - target.to(at::kDouble)).square().flatten(1).sum(1);
}

// The terms of these transitions: [b] fp64, with a gradient where it is on.
StepTerms step_terms(const Denoiser& policy,
                     const Trajectories& trajectories,
                     const Transitions& chosen,
                     const SamplingPlan& chain,
                     bool with_kl) {
  const auto k = static_cast<size_t>(chosen.step);
  const auto& step = chain.steps[k];
  const auto rows = [&](const at::Tensor& all, const at::Tensor& index) {
    return data::to_device(all.index_select(0, index), chain.device);
  };
  const at::Tensor x = rows(trajectories.latents[k], chosen.from);
  const at::Tensor output = policy(x, step.timestep, chosen.prompt_ids);
  StepTerms terms;
  if (!trajectories.targets.empty())
    terms.error = output_error(output, rows(trajectories.targets[k], chosen.to));
  if (chain.mask[chosen.step].item<double>() == 0) return terms;
  const at::Tensor next = rows(trajectories.latents[k + 1], chosen.to),
                   reference = rows(trajectories.reference_means[k], chosen.to);
  const at::Tensor mean = diffusion::ddim_log_prob(step, chain.prediction, output, x, next).mean;
  terms.log_ratio = diffusion::log_ratio(mean, reference, next, step.sigma);
  if (with_kl) terms.kl = diffusion::step_kl(mean, reference, step.sigma);
  return terms;
}

at::Tensor detached(const at::Tensor& term) { return term.defined() ? term.detach() : term; }

// sum + weight . term; either undefined: nothing is added
void add_weighted(at::Tensor& sum, const at::Tensor& term, const at::Tensor& weight) {
  if (!weight.defined() || !term.defined()) return;
  const at::Tensor own =
      (term * data::to_device(weight, term.device()).to(term.scalar_type())).sum();
  sum = sum.defined() ? sum + own : own;
}

}  // namespace

at::Tensor log_ratios(const Denoiser& policy,
                      const Trajectories& trajectories,
                      const std::vector<int64_t>& rows,
                      const SamplingPlan& chain,
                      int64_t batch) {
  const at::NoGradGuard no_gradient;
  const auto total = static_cast<int64_t>(rows.size());
  at::Tensor result =
      at::zeros({total, chain.mask.size(0)}, at::TensorOptions(at::kDouble).device(chain.device));
  const auto keep = [&](int64_t first, const Transitions& chosen) {
    const int64_t size = trajectories.branch_sizes[static_cast<size_t>(chosen.step)];
    const at::Tensor u = step_terms(policy, trajectories, chosen, chain, false).log_ratio;
    result.narrow(0, first * size, u.size(0) * size)
        .select(1, chosen.step)
        .copy_(of_images(u, size));
  };
  for_transitions(trajectories, rows, unmasked_steps(chain), batch, keep);
  return data::to_host(result);
}

void accumulate_gradient(const Denoiser& policy,
                         const Trajectories& trajectories,
                         const std::vector<int64_t>& rows,
                         const std::vector<int64_t>& steps,
                         const SamplingPlan& chain,
                         int64_t batch,
                         bool with_kl,
                         const WeighSteps& weigh) {
  for_transitions(trajectories, rows, steps, batch, [&](int64_t first, const Transitions& chosen) {
    const StepTerms terms = step_terms(policy, trajectories, chosen, chain, with_kl);
    const StepWeights weights = weigh(
        first, chosen.step, {detached(terms.log_ratio), detached(terms.kl), detached(terms.error)});
    at::Tensor sum;
    add_weighted(sum, terms.log_ratio, weights.log_ratio);
    add_weighted(sum, terms.kl, weights.kl);
    add_weighted(sum, terms.error, weights.error);
    if (sum.defined()) sum.backward();
  });
}

double replay_drift(const Denoiser& policy,
                    const Trajectories& trajectories,
                    int64_t count,
                    const SamplingPlan& chain,
                    int64_t batch) {
  std::vector<int64_t> rows(static_cast<size_t>(std::min(count, trajectories.log_ratio.size(0))));
  std::iota(rows.begin(), rows.end(), 0);
  double drift = 0;
  const auto compare = [&](int64_t first, const Transitions& chosen) {
    const int64_t size = trajectories.branch_sizes[static_cast<size_t>(chosen.step)];
    const at::Tensor u =
        step_terms(policy, trajectories, chosen, chain, false).log_ratio.detach().cpu();
    const at::Tensor stored = first_of_branch(trajectories.log_ratio.select(1, chosen.step), size)
                                  .narrow(0, first, u.size(0));
    drift = std::max(drift, (u - stored).abs().max().item<double>());
  };
  for_transitions(trajectories, rows, unmasked_steps(chain), batch, compare);
  return drift;
}

}  // namespace finetune
