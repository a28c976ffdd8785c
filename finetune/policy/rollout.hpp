#pragma once

// Trajectories of the current model, with everything that the objective needs of them.

#include <ATen/core/Tensor.h>

#include <vector>

#include "diffusion/sampling/gaussian_step.hpp"
#include "finetune/policy/config.hpp"
#include "finetune/policy/tree.hpp"
#include "finetune/task/guided_policy.hpp"
#include "finetune/task/sample_requests.hpp"

namespace finetune {

// The sampler that rollout and training share.
struct SamplingPlan {
  std::vector<diffusion::StepCoefficients> steps;  // T, [0] the noisiest
  diffusion::Prediction prediction = diffusion::Prediction::kEpsilon;
  std::vector<int64_t> latent_shape;  // {C, H, W}
  at::Tensor mask;                    // [T] fp64, 1 where the step is in the objective
  at::Device device = at::kCPU;
};

// Throws BadInput when a skipped step does not exist, or none is left, and when images are to part
// at a step without noise. Steps without noise (sigma 0) are masked.
SamplingPlan make_sampling_plan(const FinetuneConfig& config,
                                const diffusion::SchedulerConfig& scheduler,
                                const std::vector<int64_t>& latent_shape,
                                at::Device device);
// The steps whose (kappa / sigma)^2, what a change of the network's output costs in nats, is more
// than 8 times the median. With Stable Diffusion's schedule that is the step that lands at timestep
// 1: 86 % of the whole at 10 steps, 49 % at 50.
std::vector<int64_t> high_kl_steps(const std::vector<diffusion::StepCoefficients>& steps);
int64_t active_steps(const SamplingPlan& chain);
std::vector<int64_t> unmasked_steps(const SamplingPlan& chain);  // the same, by number
int64_t latent_dimensions(const SamplingPlan& chain);            // C H W

// P images, and the chains that drew them. A transition that images share is stored once: step k
// has P / branch_sizes[k] of them, of which that of image i is row i / branch_sizes[k]. On the CPU,
// whatever the chain's device: an epoch's latents would fill a GPU.
struct Trajectories {
  // T + 1 of fp32: [0] the initial noise [P / branch_sizes[0], C, H, W], [k + 1] what step k drew
  // [P / branch_sizes[k], C, H, W], [T] the clean latents
  std::vector<at::Tensor> latents;
  std::vector<at::Tensor> reference_means;  // T: [P / branch_sizes[k], C, H, W] fp32
  // T: [P / branch_sizes[k], C, H, W] fp32, the outputs to imitate where the transitions of step k
  // begin; empty: none
  std::vector<at::Tensor> targets;
  at::Tensor log_ratio;  // [P, T] fp64 nats, log pi / pi_ref of what was drawn; 0 where sigma is 0
  at::Tensor
      kl;  // [P, T] fp64 nats, of each step's Gaussian from the reference's; 0 where sigma is 0
  std::vector<int64_t> prompt_ids;  // P
  BranchSizes branch_sizes;         // T
};

// Draws trajectories from `policy`, `batch` latents at a time. A branch draws with the noise of its
// first image. An empty `reference` says that the policy is the reference: the starting model, or
// for methods that do not compare with it the policy as it draws. `teacher`: whose outputs are
// imitated; empty: nobody's.
Trajectories rollout(const Denoiser& policy,
                     const Denoiser& reference,
                     const SampleRequests& draw,
                     const SamplingPlan& chain,
                     int64_t batch,
                     const Denoiser& teacher = {});

// The clean latents: [P, C, H, W]. Each image is a branch of its own at the last step.
at::Tensor final_latents(const Trajectories& trajectories);
bool all_finite(const Trajectories& trajectories);  // the latents of every step

// Images by this chain. An empty `reference` as in rollout.
DrawLatents chain_drawer(const Denoiser& policy,
                         const Denoiser& reference,
                         const SamplingPlan& chain,
                         int64_t batch);

}  // namespace finetune
