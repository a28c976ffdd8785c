#include "finetune/policy/epoch_states.hpp"

#include <ATen/ATen.h>

#include <functional>
#include <numeric>

#include "finetune/policy/tree.hpp"

namespace finetune {
namespace {

constexpr int64_t kBytes = 2;  // of a value in half precision

}  // namespace

EpochStates epoch_states(const Trajectories& own,
                         const RowShard& share,
                         const SamplingPlan& chain,
                         const std::vector<TrainingPrompt>& prompts,
                         const std::vector<int64_t>& prompt_ids) {
  const BranchSizes& sizes = own.branch_sizes;
  std::vector<at::Tensor> steps;
  EpochStates states{.latents = {},
                     .clean = all_gather_rows(share, final_latents(own)),
                     .timesteps = {},
                     .prompt_ids = prompt_ids,
                     .prompts = prompts};
  for (size_t k = 0; k < chain.steps.size(); ++k) {
    const at::Tensor images = of_images(own.latents[k], sizes[k == 0 ? 0 : k - 1]);
    steps.push_back(all_gather_rows(share, images).to(at::kHalf));
    states.timesteps.push_back(chain.steps[k].timestep);
  }
  states.latents = at::stack(steps, 1);
  return states;
}

double state_bytes(const FinetuneConfig& config, const std::vector<int64_t>& latent_shape) {
  const int64_t values =
      std::accumulate(latent_shape.begin(), latent_shape.end(), kBytes, std::multiplies<>());
  return static_cast<double>(config.prompts_per_epoch * config.images_per_prompt *
                             config.sample_num_steps) *
         static_cast<double>(values);
}

}  // namespace finetune
