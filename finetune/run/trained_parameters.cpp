#include "finetune/run/trained_parameters.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

namespace finetune {

train::Params trained_parameters(diffusion::Network& unet, const TrainingConfig& config) {
  diffusion::set_gradient_checkpointing(unet, config.gradient_checkpointing);
  if (config.train_full) return train::parameters_of(unet, "");
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(config.seed));
  diffusion::attach_lora(unet, {config.rank, config.network_alpha, config.lora_targets}, generator);
  return diffusion::lora_parameters(unet);
}

}  // namespace finetune
