#include "diffusion/pipeline/edit_conditioning.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace diffusion {

UNet with_image_input(const UNet& unet) {
  if (reads_image(unet.config)) return unet;
  UNet result = unet;
  const int64_t more = unet.config.out_channels;
  result.config.in_channels = unet.config.in_channels + more;
  TORCH_CHECK(reads_image(result.config), "with_image_input: in_channels and out_channels differ");
  result.conv_in.weight = at::constant_pad_nd(unet.conv_in.weight, {0, 0, 0, 0, 0, more});
  return result;
}

UNet with_reward_branch(const UNet& unet,
                        const RewardBranchConfig& config,
                        at::Generator& generator) {
  UNet result = unet;
  result.config.reward = config;
  check_unet_config(result.config, "reward branch");
  const int64_t width = unet.config.block_out_channels[0];
  result.reward = build_reward_branch(random_layers(generator), config, {width, 4 * width});
  zero_init_outputs(result.reward);
  const auto move = [&](const auto&, auto& layer) {
    layer.weight = layer.weight.to(unet.conv_in.weight.options());
    layer.bias = layer.bias.to(unet.conv_in.weight.options());
  };
  visit_layers(result.reward, "", {move, move, move});
  return result;
}

RewardCondition reward_condition(const Pipeline& pipeline,
                                 const std::vector<RewardRequest>& requests) {
  const RewardBranchConfig& config = reward_config(pipeline.network);
  const at::Device device = device_of(pipeline.network);
  const auto axes = static_cast<int64_t>(config.axes.size());
  at::Tensor scores =
      at::full({static_cast<int64_t>(requests.size()), axes}, std::nan(""), at::kFloat);
  std::vector<std::string> feedback;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto& asked = requests[i].scores;
    feedback.push_back(requests[i].feedback);
    if (asked.empty()) continue;
    TORCH_CHECK(static_cast<int64_t>(asked.size()) == axes, "reward_condition: expected ", axes,
                " scores, got ", asked.size());
    scores[static_cast<int64_t>(i)] = at::tensor(asked, at::kDouble).to(at::kFloat);
  }
  RewardCondition condition{scores.to(device), scores.isfinite().to(device), {}};
  if (config.text_dim > 0) condition.text = pooled_texts(pipeline, feedback).to(device);
  return condition;
}

at::Tensor pooled_texts(const Pipeline& pipeline, const std::vector<std::string>& texts) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  for (const auto& text : texts) {
    const at::Tensor ids = data::encode(pipeline.text_encoders[0].tokenizer, {text}).ids;
    const at::Tensor pooled = nn::clip_text_forward(pipeline.text_encoders[0].network, ids).pooled;
    rows.push_back(text.empty() ? at::zeros_like(pooled) : pooled);
  }
  return at::cat(rows);
}

}  // namespace diffusion
