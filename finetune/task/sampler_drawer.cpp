#include "finetune/task/sampler_drawer.hpp"

#include <ATen/ATen.h>

namespace finetune {

DrawLatents sampler_drawer(const TrainingTask& task,
                           const Denoiser& policy,
                           const diffusion::SchedulerConfig& scheduler,
                           const diffusion::SamplerOptions& options) {
  const diffusion::NoiseSchedule schedule = diffusion::make_schedule(scheduler);
  return [&task, policy, schedule, options](const SampleRequests& draw) {
    auto generators = diffusion::image_generators(draw.seeds);
    const at::Tensor noise = diffusion::draw_noise(generators, task.latent_shape, task.device);
    const auto denoiser = [&](const at::Tensor& x, double timestep) {
      return policy(x, timestep, draw.prompt_ids);
    };
    const at::Tensor latents = diffusion::sample(denoiser, noise, schedule, generators, options);
    return DrawnLatents{latents, at::zeros({latents.size(0), 0}, at::kDouble)};
  };
}

}  // namespace finetune
