#include "finetune/policy/two_pass_gradient.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>

#include "data/device/transfer.hpp"

namespace finetune {
namespace {

// Some trajectories of one micro-batch.
struct Batch {
  at::Tensor rows;  // [b] int64
  std::vector<int64_t> prompt_ids;
};

Batch batch_of(const Trajectories& trajectories,
               const std::vector<int64_t>& rows,
               int64_t start,
               int64_t count) {
  Batch batch;
  const std::vector<int64_t> chosen(rows.begin() + start, rows.begin() + start + count);
  batch.rows = data::to_device(chosen, trajectories.latents.device());
  for (const int64_t row : chosen)
    batch.prompt_ids.push_back(trajectories.prompt_ids[static_cast<size_t>(row)]);
  return batch;
}

// The terms of step k: [b] fp64, with a gradient where it is on.
StepTerms step_terms(const Denoiser& policy,
                     const Trajectories& trajectories,
                     const Batch& batch,
                     const SamplingPlan& chain,
                     int64_t k,
                     bool with_kl) {
  const auto& step = chain.steps[static_cast<size_t>(k)];
  const auto rows = [&](const at::Tensor& all) {
    return data::to_device(all.index_select(0, batch.rows), chain.device);
  };
  const at::Tensor x = rows(trajectories.latents.select(1, k)),
                   next = rows(trajectories.latents.select(1, k + 1)),
                   reference = rows(trajectories.reference_means.select(1, k));
  const at::Tensor output = policy(x, step.timestep, batch.prompt_ids);
  const at::Tensor mean = diffusion::ddim_log_prob(step, chain.prediction, output, x, next).mean;
  return {diffusion::log_ratio(mean, reference, next, step.sigma),
          with_kl ? diffusion::step_kl(mean, reference, step.sigma) : at::Tensor()};
}

at::Tensor step_log_ratio(const Denoiser& policy,
                          const Trajectories& trajectories,
                          const Batch& batch,
                          const SamplingPlan& chain,
                          int64_t k) {
  return step_terms(policy, trajectories, batch, chain, k, false).log_ratio;
}

at::Tensor weighted_sum(const at::Tensor& term, const at::Tensor& weight) {
  return (term * data::to_device(weight, term.device()).to(term.scalar_type())).sum();
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
  for (int64_t start = 0; start < total; start += batch) {
    const int64_t count = std::min(batch, total - start);
    const Batch chosen = batch_of(trajectories, rows, start, count);
    for (int64_t k = 0; k < chain.mask.size(0); ++k) {
      if (chain.mask[k].item<double>() == 0) continue;
      result.narrow(0, start, count)
          .select(1, k)
          .copy_(step_log_ratio(policy, trajectories, chosen, chain, k));
    }
  }
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
  const auto total = static_cast<int64_t>(rows.size());
  for (int64_t start = 0; start < total; start += batch) {
    const Batch chosen = batch_of(trajectories, rows, start, std::min(batch, total - start));
    for (const int64_t k : steps) {
      const StepTerms terms = step_terms(policy, trajectories, chosen, chain, k, with_kl);
      const StepWeights weights =
          weigh(start, k, {terms.log_ratio.detach(), with_kl ? terms.kl.detach() : at::Tensor()});
      at::Tensor sum;
      if (weights.log_ratio.defined()) sum = weighted_sum(terms.log_ratio, weights.log_ratio);
      if (weights.kl.defined()) {
        const at::Tensor of_kl = weighted_sum(terms.kl, weights.kl);
        sum = sum.defined() ? sum + of_kl : of_kl;
      }
      if (sum.defined()) sum.backward();
    }
  }
}

double replay_drift(const Denoiser& policy,
                    const Trajectories& trajectories,
                    int64_t count,
                    const SamplingPlan& chain,
                    int64_t batch) {
  std::vector<int64_t> rows(static_cast<size_t>(std::min(count, trajectories.log_ratio.size(0))));
  std::iota(rows.begin(), rows.end(), 0);
  double drift = 0;
  for (int64_t start = 0; start < static_cast<int64_t>(rows.size()); start += batch) {
    const int64_t size = std::min(batch, static_cast<int64_t>(rows.size()) - start);
    const Batch chosen = batch_of(trajectories, rows, start, size);
    for (int64_t k = 0; k < chain.mask.size(0); ++k) {
      if (chain.mask[k].item<double>() == 0) continue;
      const at::Tensor u = step_log_ratio(policy, trajectories, chosen, chain, k).detach().cpu();
      const at::Tensor stored = trajectories.log_ratio.narrow(0, start, size).select(1, k);
      drift = std::max(drift, (u - stored).abs().max().item<double>());
    }
  }
  return drift;
}

}  // namespace finetune
