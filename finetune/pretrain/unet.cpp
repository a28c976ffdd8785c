#include "finetune/pretrain/unet.hpp"

#include <ATen/ATen.h>

#include "finetune/datasets/timesteps.hpp"

namespace finetune {

at::Tensor unet_loss(const diffusion::Network& network,
                     const diffusion::NoiseSchedule& schedule,
                     const PretrainBatch& batch,
                     double snr_gamma) {
  const at::Tensor x = diffusion::add_noise(schedule, batch.latents, batch.noise, batch.t);
  const at::Tensor target =
      diffusion::training_target(schedule, batch.latents, batch.noise, batch.t);
  const at::Tensor error =
      (diffusion::forward(network, x, batch.t, batch.hidden) - target).square().flatten(1).mean(1);
  return (min_snr_weights(schedule, batch.t, snr_gamma) * error).mean();
}

PretrainObjective unet_objective(const UNetObjectiveOptions& options,
                                 const diffusion::SchedulerConfig& scheduler) {
  const auto schedule = diffusion::make_schedule(scheduler);
  return {.settings = {{"snr_gamma", std::to_string(options.snr_gamma)}},
          .make_network = [options](at::Generator& generator) -> diffusion::Network {
            if (!options.init_unet.empty()) return diffusion::load_unet(options.init_unet);
            return diffusion::make_unet(options.model, generator);
          },
          .draw_times =
              [schedule](int64_t count, at::Generator& generator) {
                return spread_timesteps(count, schedule.config.num_train_timesteps, generator);
              },
          .loss = [schedule, gamma = options.snr_gamma](
                      const diffusion::Network& network, const PretrainBatch& batch,
                      double) { return unet_loss(network, schedule, batch, gamma); },
          .held_out_loss =
              [schedule](const diffusion::Network& network, const PretrainBatch& batch) {
                return unet_loss(network, schedule, batch, 0.0);
              }};
}

}  // namespace finetune
