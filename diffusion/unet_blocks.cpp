#include "diffusion/unet_blocks.hpp"

#include <ATen/ATen.h>

namespace diffusion {
namespace {

constexpr double kLayerNormEps = 1e-5;
constexpr double kTransformerNormEps = 1e-6;

Attention build_attention(const LayerSource& source,
                          const std::string& name,
                          int64_t width,
                          int64_t context_width) {
  return {source.linear(name + ".to_q", width, width, false),
          source.linear(name + ".to_k", width, context_width, false),
          source.linear(name + ".to_v", width, context_width, false),
          source.linear(name + ".to_out.0", width, width, true)};
}

TransformerBlock build_block(const LayerSource& source,
                             const std::string& name,
                             int64_t width,
                             int64_t context_width) {
  TransformerBlock w;
  w.norm1 = source.norm(name + ".norm1", width);
  w.attn1 = build_attention(source, name + ".attn1", width, width);
  w.norm2 = source.norm(name + ".norm2", width);
  w.attn2 = build_attention(source, name + ".attn2", width, context_width);
  w.norm3 = source.norm(name + ".norm3", width);
  w.ff_in = source.linear(name + ".ff.net.0.proj", 8 * width, width, true);
  w.ff_out = source.linear(name + ".ff.net.2", width, 4 * width, true);
  return w;
}

void visit_attention(Attention& w, const std::string& name, const LayerVisitor& visit) {
  visit.linear(name + ".to_q", w.to_q);
  visit.linear(name + ".to_k", w.to_k);
  visit.linear(name + ".to_v", w.to_v);
  visit.linear(name + ".to_out.0", w.to_out);
}

void visit_projection(Transformer::Projection& w,
                      const std::string& name,
                      const LayerVisitor& visit) {
  if (auto* linear = std::get_if<nn::Linear>(&w)) return visit.linear(name, *linear);
  visit.conv2d(name, std::get<nn::Conv2d>(w));
}

at::Tensor attend(const Attention& w, const at::Tensor& x, const KeyValue& context, int64_t heads) {
  return nn::linear(w.to_out,
                    nn::attention(nn::linear(w.to_q, x), context.key, context.value, heads, {}));
}

at::Tensor block_forward(const TransformerBlock& w,
                         at::Tensor x,
                         const KeyValue& context,
                         int64_t heads) {
  const at::Tensor own = nn::layer_norm(w.norm1, x, kLayerNormEps);
  x = x + attend(w.attn1, own, context_key_value(w.attn1, own), heads);
  x = x + attend(w.attn2, nn::layer_norm(w.norm2, x, kLayerNormEps), context, heads);
  const auto halves = nn::linear(w.ff_in, nn::layer_norm(w.norm3, x, kLayerNormEps)).chunk(2, -1);
  return x + nn::linear(w.ff_out, halves[0] * at::gelu(halves[1]));  // GEGLU (Shazeer 2020)
}

at::Tensor to_tokens(const at::Tensor& x) {
  return x.flatten(2).transpose(1, 2);
}  // [B, C, H, W] -> [B, H W, C]

}  // namespace

ResnetBlock build_resnet(const LayerSource& source,
                         const std::string& name,
                         int64_t in,
                         int64_t out,
                         const BlockSizes& sizes) {
  ResnetBlock w;
  w.norm1 = source.norm(name + ".norm1", in);
  w.conv1 = source.conv2d(name + ".conv1", out, in, 3);
  w.time_emb_proj = source.linear(name + ".time_emb_proj", out, sizes.time_width, true);
  w.norm2 = source.norm(name + ".norm2", out);
  w.conv2 = source.conv2d(name + ".conv2", out, out, 3);
  if (in != out) w.conv_shortcut = source.conv2d(name + ".conv_shortcut", out, in, 1);
  return w;
}

Transformer build_transformer(const LayerSource& source,
                              const std::string& name,
                              const TransformerShape& shape,
                              const BlockSizes& sizes) {
  const auto projection = [&](const std::string& part) -> Transformer::Projection {
    if (sizes.linear_projection) return source.linear(name + part, shape.width, shape.width, true);
    return source.conv2d(name + part, shape.width, shape.width, 1);
  };
  Transformer w;
  w.heads = shape.heads;
  w.norm = source.norm(name + ".norm", shape.width);
  w.proj_in = projection(".proj_in");
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string block = name + ".transformer_blocks." + std::to_string(i);
    w.transformer_blocks.push_back(build_block(source, block, shape.width, sizes.context_width));
  }
  w.proj_out = projection(".proj_out");
  return w;
}

void visit_layers(ResnetBlock& w, const std::string& name, const LayerVisitor& visit) {
  visit.norm(name + ".norm1", w.norm1);
  visit.conv2d(name + ".conv1", w.conv1);
  visit.linear(name + ".time_emb_proj", w.time_emb_proj);
  visit.norm(name + ".norm2", w.norm2);
  visit.conv2d(name + ".conv2", w.conv2);
  if (w.conv_shortcut.weight.defined()) visit.conv2d(name + ".conv_shortcut", w.conv_shortcut);
}

void visit_layers(Transformer& w, const std::string& name, const LayerVisitor& visit) {
  visit.norm(name + ".norm", w.norm);
  visit_projection(w.proj_in, name + ".proj_in", visit);
  for (size_t i = 0; i < w.transformer_blocks.size(); ++i) {
    TransformerBlock& block = w.transformer_blocks[i];
    const std::string path = name + ".transformer_blocks." + std::to_string(i);
    visit.norm(path + ".norm1", block.norm1);
    visit_attention(block.attn1, path + ".attn1", visit);
    visit.norm(path + ".norm2", block.norm2);
    visit_attention(block.attn2, path + ".attn2", visit);
    visit.norm(path + ".norm3", block.norm3);
    visit.linear(path + ".ff.net.0.proj", block.ff_in);
    visit.linear(path + ".ff.net.2", block.ff_out);
  }
  visit_projection(w.proj_out, name + ".proj_out", visit);
}

KeyValue context_key_value(const Attention& w, const at::Tensor& context) {
  return {nn::linear(w.to_k, context), nn::linear(w.to_v, context)};
}

at::Tensor resnet_forward(const ResnetBlock& w,
                          const at::Tensor& x,
                          const at::Tensor& time,
                          const NormOptions& norm) {
  at::Tensor h =
      nn::conv2d(w.conv1, at::silu(nn::group_norm(w.norm1, x, norm.groups, norm.eps)), 1, 1);
  h = h + nn::linear(w.time_emb_proj, time).unsqueeze(-1).unsqueeze(-1);
  h = nn::conv2d(w.conv2, at::silu(nn::group_norm(w.norm2, h, norm.groups, norm.eps)), 1, 1);
  return h + (w.conv_shortcut.weight.defined() ? nn::conv2d(w.conv_shortcut, x, 1, 0) : x);
}

at::Tensor transformer_forward(const Transformer& w,
                               const at::Tensor& x,
                               const KeyValue* context,
                               int64_t groups) {
  at::Tensor h = nn::group_norm(w.norm, x, groups, kTransformerNormEps);
  const auto* linear_in = std::get_if<nn::Linear>(&w.proj_in);
  h = linear_in ? nn::linear(*linear_in, to_tokens(h))
                : to_tokens(nn::conv2d(std::get<nn::Conv2d>(w.proj_in), h, 1, 0));
  for (const auto& block : w.transformer_blocks) h = block_forward(block, h, *context++, w.heads);
  const auto to_image = [&](const at::Tensor& tokens) {
    return tokens.transpose(1, 2).reshape(x.sizes());
  };
  const auto* linear_out = std::get_if<nn::Linear>(&w.proj_out);
  h = linear_out ? to_image(nn::linear(*linear_out, h))
                 : nn::conv2d(std::get<nn::Conv2d>(w.proj_out), to_image(h), 1, 0);
  return x + h;
}

}  // namespace diffusion
