#include "diffusion/networks/vae/vae.hpp"

#include <ATen/ATen.h>

#include <functional>

#include "data/base/error.hpp"
#include "data/base/shape.hpp"
#include "data/device/precision.hpp"
#include "diffusion/networks/vae/tiling.hpp"

namespace diffusion {
namespace {

constexpr double kNormEps = 1e-6;  // diffusers' AutoencoderKL, all norms

at::Tensor norm_silu(const nn::Norm& norm, const at::Tensor& x, int64_t groups) {
  return nn::group_norm_silu(norm, x, groups, kNormEps);
}

// x: [B, C, H, W] -> [B, out, H, W]
at::Tensor resnet(const VaeResnet& w, const at::Tensor& x, int64_t groups) {
  at::Tensor h = nn::conv2d(w.conv1, norm_silu(w.norm1, x, groups), 1, 1);
  h = nn::conv2d(w.conv2, norm_silu(w.norm2, h, groups), 1, 1);
  return nn::plus(h, w.conv_shortcut.weight.defined() ? nn::conv2d(w.conv_shortcut, x, 1, 0) : x);
}

// x: [B, C, H, W], every pixel attends to every pixel
at::Tensor self_attention(const VaeAttention& w, const at::Tensor& x, int64_t groups) {
  const at::Tensor tokens =
      nn::group_norm(w.group_norm, x, groups, kNormEps).flatten(2).transpose(1, 2);  // [B, H W, C]
  const at::Tensor mixed = nn::attention(nn::linear(w.to_q, tokens), nn::linear(w.to_k, tokens),
                                         nn::linear(w.to_v, tokens), /*heads=*/1, {});
  return nn::plus(nn::linear(w.to_out, mixed).transpose(1, 2).reshape(x.sizes()), x);
}

at::Tensor middle(const VaeMid& w, at::Tensor x, int64_t groups) {
  x = resnet(w.first, x, groups);
  if (w.attention.to_q.weight.defined()) x = self_attention(w.attention, x, groups);
  return resnet(w.second, x, groups);
}

at::Tensor downsample(const nn::Conv2d& conv, const at::Tensor& x) {
  return nn::conv2d(conv, at::constant_pad_nd(x, {0, 1, 0, 1}), 2,
                    0);  // one row and column, right and below
}

at::Tensor upsample(const nn::Conv2d& conv, const at::Tensor& x) {
  return nn::conv2d(conv, at::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}), 1, 1);
}

at::Tensor encoder_forward(const VaeCoder& w, const at::Tensor& images, int64_t groups) {
  at::Tensor x = nn::conv2d(w.conv_in, images, 1, 1);
  for (const auto& block : w.blocks) {
    for (const auto& layer : block.resnets) x = resnet(layer, x, groups);
    if (block.resample.weight.defined()) x = downsample(block.resample, x);
  }
  x = middle(w.mid, x, groups);
  return nn::conv2d(w.conv_out, norm_silu(w.conv_norm_out, x, groups), 1, 1);
}

at::Tensor decoder_forward(const VaeCoder& w, const at::Tensor& latents, int64_t groups) {
  at::Tensor x = middle(w.mid, nn::conv2d(w.conv_in, latents, 1, 1), groups);
  for (const auto& block : w.blocks) {
    for (const auto& layer : block.resnets) x = resnet(layer, x, groups);
    if (block.resample.weight.defined()) x = upsample(block.resample, x);
  }
  return nn::conv2d(w.conv_out, norm_silu(w.conv_norm_out, x, groups), 1, 1);
}

// x: [B, C, H, W] through `code`: an image at a time, in tiles, as the VAE is set.
at::Tensor sparingly(const Vae& vae,
                     const std::function<at::Tensor(const at::Tensor&)>& code,
                     const at::Tensor& x,
                     TileSides sides) {
  const auto one = [&](const at::Tensor& part) {
    const bool tiled = vae.tile_size > 0 && (part.size(2) > sides.in || part.size(3) > sides.in);
    return tiled ? code_in_tiles(code, part, sides) : code(part);
  };
  if (!vae.use_slicing || x.size(0) <= 1) return one(x);
  std::vector<at::Tensor> images;
  for (const auto& image : x.split(1)) images.push_back(one(image));
  return at::cat(images);
}

void visit_resnet(VaeResnet& w, const std::string& name, const data::TensorVisitor& visit) {
  nn::for_each_tensor(w.norm1, name + ".norm1", visit);
  nn::for_each_tensor(w.conv1, name + ".conv1", visit);
  nn::for_each_tensor(w.norm2, name + ".norm2", visit);
  nn::for_each_tensor(w.conv2, name + ".conv2", visit);
  if (w.conv_shortcut.weight.defined())
    nn::for_each_tensor(w.conv_shortcut, name + ".conv_shortcut", visit);
}

void visit_attention(VaeAttention& w, const std::string& name, const data::TensorVisitor& visit) {
  nn::for_each_tensor(w.group_norm, name + ".group_norm", visit);
  nn::for_each_tensor(w.to_q, name + ".to_q", visit);
  nn::for_each_tensor(w.to_k, name + ".to_k", visit);
  nn::for_each_tensor(w.to_v, name + ".to_v", visit);
  nn::for_each_tensor(w.to_out, name + ".to_out.0", visit);
}

// `kind`: "down" or "up", the word in the checkpoint's names
void visit_coder(VaeCoder& w,
                 const std::string& name,
                 const std::string& kind,
                 const data::TensorVisitor& visit) {
  nn::for_each_tensor(w.conv_in, name + ".conv_in", visit);
  for (size_t i = 0; i < w.blocks.size(); ++i) {
    const std::string block = name + "." + kind + "_blocks." + std::to_string(i);
    auto& resnets = w.blocks[i].resnets;
    for (size_t j = 0; j < resnets.size(); ++j)
      visit_resnet(resnets[j], block + ".resnets." + std::to_string(j), visit);
    nn::Conv2d& resample = w.blocks[i].resample;
    if (resample.weight.defined())
      nn::for_each_tensor(resample, block + "." + kind + "samplers.0.conv", visit);
  }
  visit_resnet(w.mid.first, name + ".mid_block.resnets.0", visit);
  if (w.mid.attention.to_q.weight.defined())
    visit_attention(w.mid.attention, name + ".mid_block.attentions.0", visit);
  visit_resnet(w.mid.second, name + ".mid_block.resnets.1", visit);
  nn::for_each_tensor(w.conv_norm_out, name + ".conv_norm_out", visit);
  nn::for_each_tensor(w.conv_out, name + ".conv_out", visit);
}

}  // namespace

int64_t vae_factor(const VaeConfig& config) {
  return int64_t{1} << (config.block_out_channels.size() - 1);
}

void for_each_tensor(Vae& vae, const std::string& prefix, const data::TensorVisitor& visit) {
  if (vae.config.identity) return;
  visit_coder(vae.encoder, prefix + "encoder", "down", visit);
  visit_coder(vae.decoder, prefix + "decoder", "up", visit);
  if (vae.quant_conv.weight.defined())
    nn::for_each_tensor(vae.quant_conv, prefix + "quant_conv", visit);
  if (vae.post_quant_conv.weight.defined())
    nn::for_each_tensor(vae.post_quant_conv, prefix + "post_quant_conv", visit);
}

void enable_tiling(Vae& vae, int64_t pixels) {
  const int64_t side = pixels == 0 ? vae.config.sample_size : pixels;
  const int64_t unit = 4 * vae_factor(vae.config);
  if (side < unit || side % unit != 0) {
    throw data::BadInput("vae tiling: tile size: expected a multiple of " + std::to_string(unit) +
                         " pixels for this VAE, found " + std::to_string(side) +
                         (pixels == 0 ? ", its sample_size; name a size" : ""));
  }
  vae.tile_size = side;
}

Moments vae_encode(const Vae& vae, const at::Tensor& images) {
  const VaeConfig& config = vae.config;
  data::check_shape(images, {-1, config.in_channels, -1, -1}, "vae_encode: images");
  const int64_t factor = vae_factor(config);
  TORCH_CHECK(images.size(2) % factor == 0 && images.size(3) % factor == 0,
              "vae_encode: images: expected height and ", "width to be multiples of ", factor,
              ", found ", data::shape_text(images.sizes()));
  if (config.identity) return {images, at::full_like(images, -30.0)};
  const data::FullPrecision fp32(config.force_upcast, images.device().type());
  const auto code = [&](const at::Tensor& part) {
    const at::Tensor moments = encoder_forward(vae.encoder, part, config.norm_num_groups);
    return vae.quant_conv.weight.defined() ? nn::conv2d(vae.quant_conv, moments, 1, 0) : moments;
  };
  const at::Tensor x = sparingly(vae, code, images, {vae.tile_size, vae.tile_size / factor});
  return {x.narrow(1, 0, config.latent_channels),
          x.narrow(1, config.latent_channels, config.latent_channels).clamp(-30.0, 20.0)};
}

at::Tensor vae_decode(const Vae& vae, const at::Tensor& latents) {
  data::check_shape(latents, {-1, vae.config.latent_channels, -1, -1}, "vae_decode: latents");
  if (vae.config.identity) return latents;
  const data::FullPrecision fp32(vae.config.force_upcast, latents.device().type());
  const bool post = vae.post_quant_conv.weight.defined();
  const auto code = [&](const at::Tensor& part) {
    return decoder_forward(vae.decoder, post ? nn::conv2d(vae.post_quant_conv, part, 1, 0) : part,
                           vae.config.norm_num_groups);
  };
  return sparingly(vae, code, latents, {vae.tile_size / vae_factor(vae.config), vae.tile_size});
}

at::Tensor raw_latents(const VaeConfig& config, const at::Tensor& latents) {
  return latents / config.scaling_factor + config.shift_factor;
}

at::Tensor scaled_latents(const VaeConfig& config, const at::Tensor& raw) {
  return (raw - config.shift_factor) * config.scaling_factor;
}

at::Tensor images_to_latents(const Vae& vae, const at::Tensor& images) {
  return scaled_latents(vae.config, vae_encode(vae, images * 2 - 1).mean);
}

at::Tensor latents_to_unclamped(const Vae& vae, const at::Tensor& latents) {
  return vae_decode(vae, raw_latents(vae.config, latents)) / 2 + 0.5;
}

at::Tensor latents_to_images(const Vae& vae, const at::Tensor& latents) {
  return latents_to_unclamped(vae, latents).clamp(0, 1);
}

}  // namespace diffusion
