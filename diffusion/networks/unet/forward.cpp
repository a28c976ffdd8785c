#include "diffusion/networks/unet/forward.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"

namespace diffusion {
namespace {

// What one pass through the network carries along.
struct Pass {
  at::Tensor time;  // [B, time_width], after SiLU
  const KeyValue* next_key;
  BlockOptions options;
  std::vector<at::Tensor> skips;
};

// `skip`: undefined, or what is read beside x
at::Tensor layer_forward(
    const UNetBlock& block, size_t i, at::Tensor x, const at::Tensor& skip, Pass& pass) {
  x = resnet_forward(block.resnets[i], x, skip, pass.time, pass.options);
  if (i >= block.attentions.size()) return x;
  x = transformer_forward(block.attentions[i], x, pass.next_key, pass.options);
  pass.next_key += block.attentions[i].transformer_blocks.size();
  return x;
}

at::Tensor down_forward(const UNetBlock& block, at::Tensor x, Pass& pass) {
  for (size_t i = 0; i < block.resnets.size(); ++i) {
    x = layer_forward(block, i, x, {}, pass);
    pass.skips.push_back(x);
  }
  if (!block.resample.weight.defined()) return x;
  x = nn::conv2d(block.resample, x, 2, 1);
  pass.skips.push_back(x);
  return x;
}

at::Tensor up_forward(const UNetBlock& block, at::Tensor x, Pass& pass) {
  for (size_t i = 0; i < block.resnets.size(); ++i) {
    const at::Tensor skip = pass.skips.back();
    pass.skips.pop_back();
    x = layer_forward(block, i, x, skip, pass);
  }
  if (!block.resample.weight.defined()) return x;
  const at::Tensor& next = pass.skips.back();  // its size, as an odd one does not double back
  return nn::conv2d(block.resample, at::upsample_nearest2d(x, {next.size(2), next.size(3)}), 1, 1);
}

void for_each_text_attention(const UNet& unet, const std::function<void(const Attention&)>& visit) {
  const auto each = [&](const UNetBlock& block) {
    for (const auto& transformer : block.attentions) {
      for (const auto& w : transformer.transformer_blocks) visit(w.attn2);
    }
  };
  for (const auto& block : unet.down_blocks) each(block);
  each(unet.mid_block);
  for (const auto& block : unet.up_blocks) each(block);
}

size_t count_text_attentions(const UNet& unet) {
  size_t count = 0;
  for_each_text_attention(unet, [&](const Attention&) { ++count; });
  return count;
}

at::Tensor waves(const UNetConfig& config, const at::Tensor& t, int64_t width) {
  return timestep_embedding(t, width, config.flip_sin_to_cos, config.freq_shift);
}

// SDXL's (Podell et al. 2023, 2.2): the pooled text and the sinusoids of six sizes. -> [B,
// time_width]
at::Tensor added_forward(const UNet& unet, const ExtraConditions& added, int64_t batch) {
  const int64_t one = unet.config.addition_time_embed_dim;
  const int64_t text = unet.config.projection_class_embeddings_input_dim - kTimeIds * one;
  data::check_shape(added.text_embeds, {batch, text}, "unet_forward: text_embeds");
  data::check_shape(added.time_ids, {batch, kTimeIds}, "unet_forward: time_ids");
  const at::Tensor sizes = waves(unet.config, added.time_ids.flatten(), one);  // [6 B, one]
  const at::Tensor both = at::cat(
      {added.text_embeds, sizes.reshape({batch, -1}).to(added.text_embeds.scalar_type())}, 1);
  return embedding_mlp(unet.add_linear_1, unet.add_linear_2, both);
}

// -> [B, time_width]
at::Tensor time_forward(const UNet& unet, const at::Tensor& t, const ExtraConditions& added) {
  const UNetConfig& config = unet.config;
  at::Tensor time =
      waves(config, t, config.block_out_channels[0]).to(unet.time_linear_1.weight.scalar_type());
  if (config.time_cond_proj_dim > 0) {
    data::check_shape(added.timestep_cond, {t.size(0), config.time_cond_proj_dim},
                      "unet_forward: timestep_cond");
    time = time + nn::linear(unet.time_cond_proj, added.timestep_cond);
  }
  time = embedding_mlp(unet.time_linear_1, unet.time_linear_2, time);
  if (reads_reward(config.reward))
    time = time + reward_time(unet.reward, config.reward, added.reward, t.size(0));
  return config.addition_time_embed_dim == 0 ? time : time + added_forward(unet, added, t.size(0));
}

}  // namespace

ContextKeys context_keys(const UNet& unet, const at::Tensor& context) {
  data::check_shape(context, {-1, -1, unet.config.cross_attention_dim}, "context_keys: context");
  ContextKeys keys;
  for_each_text_attention(
      unet, [&](const Attention& w) { keys.push_back(context_key_value(w, context)); });
  return keys;
}

at::Tensor unet_forward(const UNet& unet,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const at::Tensor& context,
                        const ExtraConditions& added) {
  data::check_shape(x, {-1, unet.config.in_channels, -1, -1}, "unet_forward: x");
  data::check_shape(context, {x.size(0), -1, unet.config.cross_attention_dim},
                    "unet_forward: context");
  return unet_forward(unet, x, t, context_keys(unet, context), added);
}

at::Tensor unet_forward(const UNet& unet,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const ContextKeys& keys,
                        const ExtraConditions& added) {
  data::check_shape(x, {-1, unet.config.in_channels, -1, -1}, "unet_forward: x");
  data::check_shape(t, {x.size(0)}, "unet_forward: t");
  TORCH_CHECK(keys.size() == count_text_attentions(unet),
              "unet_forward: the context keys are of another network");
  Pass pass{
      .time = at::silu(time_forward(unet, t, added)),
      .next_key = keys.data(),
      .options = {unet.config.norm_num_groups, unet.config.norm_eps, unet.gradient_checkpointing},
      .skips = {}};
  at::Tensor h = nn::conv2d(unet.conv_in, x, 1, 1);
  h = reward_attention(unet.reward, unet.config.reward, added.reward, h, pass.options.groups);
  pass.skips.push_back(h);
  for (const auto& block : unet.down_blocks) h = down_forward(block, h, pass);
  for (size_t i = 0; i < unet.mid_block.resnets.size(); ++i)
    h = layer_forward(unet.mid_block, i, h, {}, pass);
  for (const auto& block : unet.up_blocks) h = up_forward(block, h, pass);
  h = nn::group_norm_silu(unet.conv_norm_out, h, pass.options.groups, pass.options.eps);
  return nn::conv2d(unet.conv_out, h, 1, 1);
}

}  // namespace diffusion
