#pragma once

// One epoch's images: whose, from which seeds, and what they earn.

#include <string>
#include <vector>

#include "finetune/combine.hpp"
#include "finetune/rollout.hpp"
#include "finetune/task.hpp"

namespace finetune {

// The prompts of an epoch, and the seeds of their images.
struct EpochPlan {
  std::vector<std::string> prompts;  // N
  Draw draw;                         // N x images_per_prompt, a prompt's images side by side
};
// Prompts without replacement (all of them before one comes twice), ordered by `generator`; seeds
// that depend on config.seed, the epoch and the place in it.
EpochPlan plan_epoch(const std::vector<std::string>& prompts,
                     const FinetuneConfig& config,
                     int64_t epoch,
                     at::Generator& generator);

// Decodes and rates trajectories' final latents, `batch` at a time. -> [P, M] fp64 raw
at::Tensor rate(const Task& task,
                const EpochPlan& plan,
                const Trajectories& trajectories,
                int64_t batch);

CombineOptions combine_options(const TrainingConfig& config);

// A policy on these prompts: the UNet, guided as the configuration says.
Denoiser policy_on(const Task& task,
                   const diffusion::UNet& unet,
                   const std::vector<std::string>& prompts,
                   double scale);

}  // namespace finetune
