#pragma once

// Trajectories of the current model, with everything that the objective needs of them.

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/sampling/gaussian_step.hpp"
#include "finetune/policy/config.hpp"
#include "finetune/run/guided_policy.hpp"
#include "finetune/run/sample_requests.hpp"

namespace finetune {

// The sampler that rollout and training share.
struct SamplingPlan {
  std::vector<diffusion::StepCoefficients> steps;  // T, [0] the noisiest
  diffusion::Prediction prediction = diffusion::Prediction::kEpsilon;
  std::vector<int64_t> latent_shape;  // {C, H, W}
  at::Tensor mask;                    // [T] fp64, 1 where the step is in the objective
  at::Device device = at::kCPU;
};

// Throws BadInput when a skipped step does not exist, or none is left. Steps without noise (sigma
// 0) are masked.
SamplingPlan make_sampling_plan(const FinetuneConfig& config,
                                const diffusion::SchedulerConfig& scheduler,
                                const std::vector<int64_t>& latent_shape,
                                at::Device device);
// The steps whose (kappa / sigma)^2, what a change of the network's output costs in nats, is more
// than 8 times the median. With Stable Diffusion's schedule that is the step that lands at timestep
// 1: 86 % of the whole at 10 steps, 49 % at 50.
std::vector<int64_t> high_kl_steps(const std::vector<diffusion::StepCoefficients>& steps);
int64_t active_steps(const SamplingPlan& chain);
int64_t latent_dimensions(const SamplingPlan& chain);  // C H W

// On the CPU, whatever the chain's device: an epoch's latents would fill a GPU.
struct Trajectories {
  at::Tensor
      latents;  // [P, T + 1, C, H, W] fp32; [:, 0] the initial noise, [:, T] the clean latent
  at::Tensor reference_means;  // [P, T, C, H, W] fp32
  at::Tensor log_ratio;  // [P, T] fp64 nats, log pi / pi_ref of what was drawn; 0 where sigma is 0
  at::Tensor
      kl;  // [P, T] fp64 nats, of each step's Gaussian from the reference's; 0 where sigma is 0
  std::vector<int64_t> prompt_ids;  // P
};

// Draws trajectories from `policy`, `batch` at a time. An empty `reference` says that the policy is
// the reference: the starting model, or for methods that do not compare with it the policy as it
// draws.
Trajectories rollout(const Denoiser& policy,
                     const Denoiser& reference,
                     const SampleRequests& draw,
                     const SamplingPlan& chain,
                     int64_t batch);

// The clean latents: [P, C, H, W]
at::Tensor final_latents(const Trajectories& trajectories);

// Images by this chain. An empty `reference` as in rollout.
DrawLatents chain_drawer(const Denoiser& policy,
                         const Denoiser& reference,
                         const SamplingPlan& chain,
                         int64_t batch);

// All trajectories of several rollouts; the prompt ids of the second count on from `prompt_offset`.
Trajectories joined(const Trajectories& first, const Trajectories& second, int64_t prompt_offset);

}  // namespace finetune
