#pragma once

// What a text-conditional UNet is trained to say, from nothing or from a UNet that exists: the
// noise-prediction loss of Ho et al. 2020, eq. 14, on latents.

#include <filesystem>

#include "diffusion/sampling/noise_schedule.hpp"
#include "finetune/pretrain/text_to_image.hpp"

namespace finetune {

struct UNetObjectiveOptions {
  diffusion::UNetConfig model;
  std::filesystem::path
      init_unet;           // folder of weights to begin with, of `model`'s shape; "": random
  double snr_gamma = 5.0;  // 0: off; see min_snr_weights
};

// Mean over the batch of the weighted mean squared error. batch.t: [B] int64 -> []
at::Tensor unet_loss(const diffusion::Network& network,
                     const diffusion::NoiseSchedule& schedule,
                     const PretrainBatch& batch,
                     double snr_gamma);

PretrainObjective unet_objective(const UNetObjectiveOptions& options,
                                 const diffusion::SchedulerConfig& scheduler);

}  // namespace finetune
