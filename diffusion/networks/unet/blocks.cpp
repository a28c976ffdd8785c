#include "diffusion/networks/unet/blocks.hpp"

#include <ATen/ATen.h>

#include "data/nn/geglu.hpp"
#include "data/train/activation_checkpointing.hpp"

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
  const auto among_pixels = [&](const at::Tensor& own) {
    return attend(w.attn1, own, context_key_value(w.attn1, own), heads);
  };
  x = nn::plus(among_pixels(nn::layer_norm(w.norm1, x, kLayerNormEps)), x);
  x = nn::plus(attend(w.attn2, nn::layer_norm(w.norm2, x, kLayerNormEps), context, heads), x);
  const at::Tensor inner = nn::linear(w.ff_in, nn::layer_norm(w.norm3, x, kLayerNormEps));
  return nn::plus(nn::linear(w.ff_out, nn::geglu(inner)), x);
}

at::Tensor to_tokens(const at::Tensor& x) {
  return x.flatten(2).transpose(1, 2);
}  // [B, C, H, W] -> [B, H W, C]

// From the image to the tokens.
at::Tensor enter(const Transformer& w, const at::Tensor& x, int64_t groups) {
  const at::Tensor h = nn::group_norm(w.norm, x, groups, kTransformerNormEps);
  const auto* linear = std::get_if<nn::Linear>(&w.proj_in);
  return linear ? nn::linear(*linear, to_tokens(h))
                : to_tokens(nn::conv2d(std::get<nn::Conv2d>(w.proj_in), h, 1, 0));
}

// Back to the image, beside the transformer's input x.
at::Tensor leave(const Transformer& w, const at::Tensor& tokens, const at::Tensor& x) {
  const auto to_image = [&](const at::Tensor& h) { return h.transpose(1, 2).reshape(x.sizes()); };
  const auto* linear = std::get_if<nn::Linear>(&w.proj_out);
  return nn::plus(linear ? to_image(nn::linear(*linear, tokens))
                         : nn::conv2d(std::get<nn::Conv2d>(w.proj_out), to_image(tokens), 1, 0),
                  x);
}

// A block's tensors, those of its adapters too.
template <class Layers>
std::vector<at::Tensor> tensors_of(Layers w) {
  std::vector<at::Tensor> tensors;
  const auto add = [&](const std::string&, auto& layer) {
    tensors.insert(tensors.end(), {layer.weight, layer.bias, layer.lora.down, layer.lora.up});
  };
  visit_layers(w, "", {add, add, [&](const std::string&, nn::Norm& norm) {
                         tensors.insert(tensors.end(), {norm.weight, norm.bias});
                       }});
  return tensors;
}

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
                          const at::Tensor& skip,
                          const at::Tensor& time,
                          const BlockOptions& options) {
  const auto block = [w, options](const std::vector<at::Tensor>& in) {
    const auto norm_silu = [&](const nn::Norm& norm, const at::Tensor& h) {
      return nn::group_norm_silu(norm, h, options.groups, options.eps);
    };
    const at::Tensor own = in.size() == 3 ? at::cat({in[1], in[2]}, 1) : in[1];
    at::Tensor h = nn::conv2d(w.conv1, norm_silu(w.norm1, own), 1, 1);
    h = nn::plus(h, nn::linear(w.time_emb_proj, in[0]).unsqueeze(-1).unsqueeze(-1));
    h = nn::conv2d(w.conv2, norm_silu(w.norm2, h), 1, 1);
    return nn::plus(
        h, w.conv_shortcut.weight.defined() ? nn::conv2d(w.conv_shortcut, own, 1, 0) : own);
  };
  std::vector<at::Tensor> inputs{time, x};
  if (skip.defined()) inputs.push_back(skip);
  return train::run_block(options.checkpointing, block, inputs, tensors_of(w));
}

at::Tensor transformer_forward(const Transformer& w,
                               const at::Tensor& x,
                               const KeyValue* context,
                               const BlockOptions& options) {
  const size_t layers = w.transformer_blocks.size();
  const auto parameters = tensors_of(w);
  at::Tensor h = x;
  for (size_t i = 0; i < layers; ++i) {  // the way in is part of the first block, out of the last
    const bool last = i + 1 == layers;
    const auto block = [w, i, last, groups = options.groups](const std::vector<at::Tensor>& in) {
      const at::Tensor tokens =
          block_forward(w.transformer_blocks[i], i == 0 ? enter(w, in[0], groups) : in[0],
                        {in[1], in[2]}, w.heads);
      return last ? leave(w, tokens, i == 0 ? in[0] : in[3]) : tokens;
    };
    std::vector<at::Tensor> inputs{h, context[i].key, context[i].value};
    if (last && i > 0) inputs.push_back(x);
    h = train::run_block(options.checkpointing, block, inputs, parameters);
  }
  return h;
}

}  // namespace diffusion
