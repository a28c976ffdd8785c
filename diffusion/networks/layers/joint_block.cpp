#include "diffusion/networks/layers/joint_block.hpp"

#include <ATen/ATen.h>

#include "data/nn/rms_norm.hpp"

namespace diffusion {
namespace {

constexpr double kEps = 1e-6;  // of every norm

at::Tensor feed_forward(const BlockStream& w, const at::Tensor& x) {
  return nn::linear(w.ff_out, at::gelu(nn::linear(w.ff_in, x), "tanh"));
}

// x plus its MLP. shift, scale, gate: [B, D]
at::Tensor with_mlp(const BlockStream& w,
                    const at::Tensor& x,
                    const at::Tensor& shift,
                    const at::Tensor& scale,
                    const at::Tensor& gate) {
  return x + gate.unsqueeze(1) * feed_forward(w, modulate(normalised(x), shift, scale));
}

QueryKeyValue of_both(const QueryKeyValue& image, const QueryKeyValue& text) {
  return {at::cat({image.q, text.q}, 1), at::cat({image.k, text.k}, 1),
          at::cat({image.v, text.v}, 1)};
}

}  // namespace

void walk(StreamAttention& w,
          const JointBlockForm& form,
          const std::string& prefix,
          const AttentionNames& names,
          const LayerWalk& each) {
  const int64_t width = form.heads * form.head_width;
  each.linear(prefix + names.q, w.to_q, width, width);
  each.linear(prefix + names.k, w.to_k, width, width);
  each.linear(prefix + names.v, w.to_v, width, width);
  if (form.normalised) {
    each.rms_norm(prefix + names.norm_q, w.norm_q, form.head_width);
    each.rms_norm(prefix + names.norm_k, w.norm_k, form.head_width);
  }
  if (*names.out != '\0') each.linear(prefix + names.out, w.to_out, width, width);
}

void walk(JointBlock& w,
          const JointBlockForm& form,
          const std::string& prefix,
          const LayerWalk& each) {
  const int64_t width = form.heads * form.head_width;
  const AttentionNames text{"add_q_proj",   "add_k_proj",   "add_v_proj",
                            "norm_added_q", "norm_added_k", form.last ? "" : "to_add_out"};
  const auto feed_forward_layers = [&](const std::string& name, BlockStream& stream) {
    each.linear(prefix + name + ".net.0.proj", stream.ff_in, 4 * width, width);
    each.linear(prefix + name + ".net.2", stream.ff_out, width, 4 * width);
  };
  each.linear(prefix + "norm1.linear", w.image.modulation, (form.dual ? 9 : 6) * width, width);
  each.linear(prefix + "norm1_context.linear", w.text.modulation, (form.last ? 2 : 6) * width,
              width);
  walk(w.image.attn, form, prefix + "attn.", kImageNames, each);
  walk(w.text.attn, form, prefix + "attn.", text, each);
  if (form.dual) walk(w.attn2, form, prefix + "attn2.", kImageNames, each);
  feed_forward_layers("ff", w.image);
  if (!form.last) feed_forward_layers("ff_context", w.text);
}

at::Tensor normalised(const at::Tensor& x) {
  return at::layer_norm(x, {x.size(-1)}, /*weight=*/{}, /*bias=*/{}, kEps);
}

at::Tensor modulate(const at::Tensor& normed, const at::Tensor& shift, const at::Tensor& scale) {
  return normed * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1);
}

QueryKeyValue project(const StreamAttention& w, const at::Tensor& x, int64_t heads) {
  const auto per_head = [heads](const nn::Norm& norm, const at::Tensor& y) {
    if (!norm.weight.defined()) return y;
    const at::Tensor split = y.view({y.size(0), y.size(1), heads, -1});
    return nn::rms_norm(norm, split, kEps).view_as(y);
  };
  return {per_head(w.norm_q, nn::linear(w.to_q, x)), per_head(w.norm_k, nn::linear(w.to_k, x)),
          nn::linear(w.to_v, x)};
}

at::Tensor attend(const QueryKeyValue& in, int64_t heads, const nn::RotaryTable& places) {
  const auto turned = [&](const at::Tensor& x) {
    if (!places.cos.defined()) return x;
    return nn::rotate(places, x.view({x.size(0), x.size(1), heads, -1})).flatten(2);
  };
  return nn::attention(turned(in.q), turned(in.k), in.v, heads, {});
}

at::Tensor joint_block_forward(const JointBlock& w,
                               const JointBlockShape& shape,
                               const at::Tensor& in,
                               const at::Tensor& time) {
  at::Tensor image = in.slice(1, 0, shape.image_tokens), text = in.slice(1, shape.image_tokens);
  const bool dual = w.attn2.to_q.weight.defined();
  const auto of_image = nn::linear(w.image.modulation, time).chunk(dual ? 9 : 6, 1),
             of_text = nn::linear(w.text.modulation, time).chunk(shape.last ? 2 : 6, 1);
  const at::Tensor plain = normalised(image);
  const auto own = project(w.image.attn, modulate(plain, of_image[0], of_image[1]), shape.heads),
             other = project(w.text.attn,
                             modulate(normalised(text), of_text[shape.last ? 1 : 0],
                                      of_text[shape.last ? 0 : 1]),
                             shape.heads);
  const at::Tensor both = attend(of_both(own, other), shape.heads, shape.places);
  image = image + of_image[2].unsqueeze(1) *
                      nn::linear(w.image.attn.to_out, both.slice(1, 0, shape.image_tokens));
  if (dual) {
    const auto alone = project(w.attn2, modulate(plain, of_image[6], of_image[7]), shape.heads);
    const at::Tensor second = attend(alone, shape.heads, {});
    image = image + of_image[8].unsqueeze(1) * nn::linear(w.attn2.to_out, second);
  }
  image = with_mlp(w.image, image, of_image[3], of_image[4], of_image[5]);
  if (shape.last) return image;
  text = text + of_text[2].unsqueeze(1) *
                    nn::linear(w.text.attn.to_out, both.slice(1, shape.image_tokens));
  return at::cat({image, with_mlp(w.text, text, of_text[3], of_text[4], of_text[5])}, 1);
}

void add_tensors(const nn::Linear& layer, std::vector<at::Tensor>& tensors) {
  tensors.insert(tensors.end(), {layer.weight, layer.bias, layer.lora.down, layer.lora.up});
}

void add_tensors(const StreamAttention& w, std::vector<at::Tensor>& tensors) {
  for (const auto* layer : {&w.to_q, &w.to_k, &w.to_v, &w.to_out}) add_tensors(*layer, tensors);
  tensors.insert(tensors.end(), {w.norm_q.weight, w.norm_k.weight});
}

std::vector<at::Tensor> tensors_of(const JointBlock& block) {
  std::vector<at::Tensor> tensors;
  for (const auto* stream : {&block.image, &block.text}) {
    for (const auto* layer : {&stream->modulation, &stream->ff_in, &stream->ff_out})
      add_tensors(*layer, tensors);
    add_tensors(stream->attn, tensors);
  }
  add_tensors(block.attn2, tensors);
  return tensors;
}

}  // namespace diffusion
