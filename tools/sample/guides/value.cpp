#include "tools/sample/guides/value.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "data/base/error.hpp"
#include "tools/cli/latent_space.hpp"

namespace tools {

void open_guide_value(const diffusion::Pipeline& pipeline,
                      GuideSetting& setting,
                      std::string& reward) {
  if (setting.config.value.empty()) return;
  const bool rates = std::any_of(setting.guide.begin(), setting.guide.end(),
                                 [](const GuidePart& part) { return part.kind->rates_states; });
  if (!rates)
    throw data::BadInput(
        "--guide_value: expected --guide particles=K or per_step=K beside it, whose samples are "
        "rated on the way, found '" +
        setting.config.guide + "'; leave it out");
  setting.value = std::make_shared<rewards::ValueNetwork>(
      open_value_network(setting.config.value, "--guide_value", pipeline));
  if (reward.empty()) reward = setting.value->config.reward;
}

at::Tensor value_texts(const diffusion::Pipeline& pipeline,
                       const std::vector<diffusion::ImageRequest>& requests) {
  std::vector<diffusion::Prompt> prompts;
  for (const auto& request : requests) prompts.push_back(request.prompt);
  return text_means(pipeline, prompts);
}

diffusion::Denoiser recorded(const diffusion::Denoiser& denoiser,
                             const std::shared_ptr<SeenStates>& seen) {
  return [denoiser, seen](const at::Tensor& x, double timestep) {
    *seen = {x.detach(), timestep};
    return denoiser(x, timestep);
  };
}

std::vector<double> rate_states(const rewards::ValueNetwork& network,
                                const SeenStates& states,
                                const at::Tensor& x0,
                                const at::Tensor& text) {
  const at::NoGradGuard no_grad;
  const at::Device device = states.input.device();
  const at::Tensor values =
      rewards::value_of(network, {.latents = states.input.to(at::kFloat),
                                  .expected = x0.to(at::kFloat),
                                  .timesteps = at::full({states.input.size(0)}, states.timestep,
                                                        at::TensorOptions(device)),
                                  .text = text.to(device)})
          .cpu()
          .to(at::kDouble)
          .contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

std::string guide_value_text(const GuideSetting& setting) {
  return setting.value ? setting.value->config.reward + " at " + setting.config.value : "";
}

}  // namespace tools
