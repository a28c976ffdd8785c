#include "finetune/policy/guided_policy.hpp"

#include <ATen/ATen.h>

namespace finetune {

Denoiser guided_policy(const diffusion::Network& unet,
                       const diffusion::Conditioning& conditioning,
                       const diffusion::GuidanceOptions& options) {
  const auto branches = diffusion::guidance_batch(diffusion::traits(unet), options);
  const auto own = diffusion::with_guidance_input(unet, conditioning, options);
  return [unet, own, branches, options](const at::Tensor& x, int64_t timestep,
                                        const std::vector<int64_t>& prompt_ids) {
    TORCH_CHECK(x.device() == diffusion::device_of(unet), "guided_policy: x is on ", x.device(),
                ", the network on ", diffusion::device_of(unet));
    const auto inputs = diffusion::branch_inputs(unet, own, branches, prompt_ids);
    const at::Tensor t = at::full({diffusion::branch_count(branches) * x.size(0)}, timestep,
                                  x.options().dtype(at::kFloat));
    return diffusion::guided_forward(unet, x, t, inputs, options);
  };
}

}  // namespace finetune
