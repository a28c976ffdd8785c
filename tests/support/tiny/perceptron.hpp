#pragma once

// A policy of a few numbers in fp64, chains of it, and the loss of PRDP as a single graph.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <numeric>

#include "finetune/policy/rollout.hpp"

namespace tests {

// A perceptron as a policy: [B, 1, 2, 2] latents, three prompts. It computes in fp64.
struct Perceptron {
  at::Tensor in, time, prompt, out;
};
inline Perceptron make_perceptron(uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  const auto normal = [&](at::IntArrayRef shape) {
    return (0.5 * at::empty(shape, at::kDouble).normal_(0, 1, generator));
  };
  return {normal({4, 8}), normal({8}), normal({3, 8}), normal({8, 4})};
}
inline finetune::Denoiser denoiser(const Perceptron& w) {
  return [w](const at::Tensor& x, double timestep, const std::vector<int64_t>& prompts) {
    const at::Tensor text = w.prompt.index_select(0, at::tensor(prompts, at::kLong));
    const at::Tensor hidden =
        (x.flatten(1).to(at::kDouble).mm(w.in) + w.time * (timestep / 1000.0) + text).tanh();
    return hidden.mm(w.out).view_as(x).to(x.scalar_type());
  };
}
inline void require_gradients(Perceptron& w) {
  for (at::Tensor* tensor : {&w.in, &w.time, &w.prompt, &w.out})
    *tensor = tensor->detach().clone().requires_grad_(true);
}
inline at::Tensor gradients(const Perceptron& w) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : {w.in, w.time, w.prompt, w.out}) {
    all.push_back(tensor.grad().flatten().clone());
    tensor.mutable_grad() = at::Tensor();
  }
  return at::cat(all);
}

inline finetune::SamplingPlan tiny_chain(int64_t steps, std::vector<int64_t> shape = {1, 2, 2}) {
  finetune::FinetuneConfig config;
  config.sample_num_steps = steps;
  config.sigma_min = 0.1;
  config.skip_sharp_steps = false;
  return finetune::make_sampling_plan(config, {}, shape, at::kCPU);
}
inline finetune::SampleRequests tiny_draw(int64_t images) {
  finetune::SampleRequests draw;
  for (int64_t i = 0; i < 3 * images; ++i) {
    draw.prompt_ids.push_back(i / images);
    draw.seeds.push_back(static_cast<uint64_t>(100 + i));
  }
  return draw;
}
inline std::vector<int64_t> all_rows(const finetune::Trajectories& t) {
  std::vector<int64_t> rows(t.prompt_ids.size());
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}
// Kept in fp64, so that gradients can be compared to the last digits.
inline finetune::Trajectories in_double(finetune::Trajectories t) {
  for (auto& latents : t.latents) latents = latents.to(at::kDouble);
  for (auto& means : t.reference_means) means = means.to(at::kDouble);
  return t;
}

// The whole graph at once: log-ratio and KL of every step, [P, T]. Each image has a chain of its
// own.
inline finetune::StepTerms chain_terms(const finetune::Denoiser& policy,
                                       const finetune::Trajectories& t,
                                       const finetune::SamplingPlan& chain) {
  std::vector<at::Tensor> log_ratios, kls;
  for (size_t k = 0; k < chain.steps.size(); ++k) {
    const auto& step = chain.steps[k];
    const at::Tensor x = t.latents[k], next = t.latents[k + 1], reference = t.reference_means[k];
    const at::Tensor output = policy(x, step.timestep, t.prompt_ids);
    const at::Tensor mean = diffusion::ddim_log_prob(step, chain.prediction, output, x, next).mean;
    log_ratios.push_back(diffusion::log_ratio(mean, reference, next, step.sigma));
    kls.push_back(diffusion::step_kl(mean, reference, step.sigma));
  }
  return {at::stack(log_ratios, 1), at::stack(kls, 1)};
}

// Eq. 9 and 10 of PRDP as they are printed, of three prompts.
inline at::Tensor prdp_loss(const finetune::Denoiser& policy,
                            const finetune::Trajectories& t,
                            const finetune::SamplingPlan& chain,
                            const at::Tensor& rewards,
                            double beta,
                            double clip_range) {
  const at::Tensor u = chain_terms(policy, t, chain).log_ratio, old = t.log_ratio;
  const at::Tensor clipped = at::minimum(at::maximum(u, old - clip_range), old + clip_range);
  const int64_t images = u.size(0) / 3;
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (int64_t prompt = 0; prompt < 3; ++prompt) {
    const auto pairs = [&](const at::Tensor& x) {
      const at::Tensor own = x.narrow(0, prompt * images, images);
      return own.unsqueeze(1) - own.unsqueeze(0);
    };
    const at::Tensor dr = pairs(rewards);
    const at::Tensor worst = at::maximum((pairs(u.sum(1)) - dr / beta).square(),
                                         (pairs(clipped.sum(1)) - dr / beta).square());
    loss = loss + worst.masked_select(dr.gt(0)).mean();
  }
  return loss / 3.0;
}

}  // namespace tests
