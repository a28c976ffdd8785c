#include "tools/bench/task.hpp"

#include <ATen/ATen.h>

#include "diffusion/pipeline/generate.hpp"

namespace bench {

std::vector<int64_t> native_latent_shape(const diffusion::Pipeline& pipeline) {
  return diffusion::latent_shape(pipeline, 0, 0);
}

finetune::Task task_of(const diffusion::Pipeline& pipeline, at::Device device) {
  finetune::Task task;
  task.unet = pipeline.network;
  task.scheduler = pipeline.scheduler;
  task.latent_shape = native_latent_shape(pipeline);
  task.vae_factor = diffusion::vae_factor(pipeline.vae.config);
  task.device = device;
  task.encode = [&pipeline](const std::vector<std::string>& texts) {
    return diffusion::encode_prompts(pipeline, {texts.begin(), texts.end()});
  };
  task.uncondition = [&pipeline] { return diffusion::encode_negatives(pipeline, {""}); };
  task.decode_unclamped = [&pipeline](const at::Tensor& latents) {
    return diffusion::latents_to_unclamped(pipeline.vae, latents);
  };
  const int64_t pixels = diffusion::native_size(pipeline);
  if (diffusion::is_xl(pipeline)) task.time_ids = diffusion::time_ids({}, pixels, pixels);
  return task;
}

}  // namespace bench
