#include "diffusion/networks/flux/forward.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "data/train/activation_checkpointing.hpp"
#include "diffusion/networks/layers/embedding.hpp"

namespace diffusion {
namespace {

constexpr double kTimesteps = 1000;  // the network is told t / 1000 and multiplies by it

// Sinusoids of 1000 value. value: [B] -> [B, width]
at::Tensor number_forward(const nn::Linear& first,
                          const nn::Linear& second,
                          const at::Tensor& value) {
  const at::Tensor waves = timestep_embedding(value * kTimesteps, first.weight.size(1),
                                              /*flip_sin_to_cos=*/true, /*freq_shift=*/0.0);
  return embedding_mlp(first, second, waves.to(first.weight.scalar_type()));
}

at::Tensor condition_forward(const Flux& flux, const at::Tensor& t, const at::Tensor& pooled) {
  at::Tensor time =
      number_forward(flux.time_linear_1, flux.time_linear_2, t.to(at::kFloat) / kTimesteps);
  if (flux.config.guidance_embeds) {
    const at::Tensor told = at::full_like(t, flux.guidance, t.options().dtype(at::kFloat));
    time = time + number_forward(flux.guidance_linear_1, flux.guidance_linear_2, told);
  }
  return time + embedding_mlp(flux.text_linear_1, flux.text_linear_2, pooled);
}

// (0, row, column) of every token of the image, then (0, 0, 0) of the text's. -> [L, 3] fp64
at::Tensor places_of(int64_t rows, int64_t columns, int64_t texts, at::Device device) {
  const auto options = at::TensorOptions(at::kDouble).device(device);
  const at::Tensor row = at::arange(rows, options).unsqueeze(1).expand({rows, columns}),
                   column = at::arange(columns, options).unsqueeze(0).expand({rows, columns});
  const at::Tensor image = at::stack({at::zeros({rows, columns}, options), row, column}, 2);
  return at::cat({image.reshape({rows * columns, 3}), at::zeros({texts, 3}, options)});
}

// fp16's activations exceed its range; diffusers clips them after every block.
at::Tensor in_range(const at::Tensor& x) {
  return x.scalar_type() == at::kHalf ? x.clamp(-65504, 65504) : x;
}

// in: [B, L, D], time: [B, D] after SiLU -> [B, L, D]
at::Tensor single_block_forward(const SingleBlock& w,
                                const JointBlockShape& shape,
                                const at::Tensor& in,
                                const at::Tensor& time) {
  const auto chunks = nn::linear(w.modulation, time).chunk(3, 1);  // shift, scale, gate
  const at::Tensor x = modulate(normalised(in), chunks[0], chunks[1]);
  const at::Tensor attended = attend(project(w.attn, x, shape.heads), shape.heads, shape.places),
                   mlp = at::gelu(nn::linear(w.proj_mlp, x), "tanh");
  return in + chunks[2].unsqueeze(1) * nn::linear(w.proj_out, at::cat({attended, mlp}, 2));
}

at::Tensor blocks_forward(const Flux& flux,
                          const JointBlockShape& shape,
                          at::Tensor h,
                          const at::Tensor& time) {
  for (const JointBlock& joint : flux.transformer_blocks) {
    const JointBlock w = in_memory(joint, h.device());
    const auto block = [w, shape](const std::vector<at::Tensor>& in) {
      return in_range(joint_block_forward(w, shape, in[0], in[1]));
    };
    h = train::run_block(flux.gradient_checkpointing, block, {h, time}, tensors_of(w));
  }
  for (const SingleBlock& single : flux.single_transformer_blocks) {
    const SingleBlock w = in_memory(single, h.device());
    const auto block = [w, shape](const std::vector<at::Tensor>& in) {
      return in_range(single_block_forward(w, shape, in[0], in[1]));
    };
    h = train::run_block(flux.gradient_checkpointing, block, {h, time}, tensors_of(w));
  }
  return h;
}

}  // namespace

EmbeddedText embed_text(const Flux& flux, const at::Tensor& hidden) {
  data::check_shape(hidden, {-1, -1, flux.config.joint_attention_dim}, "embed_text: hidden");
  return {nn::linear(flux.context_embedder, hidden)};
}

at::Tensor flux_forward(const Flux& flux,
                        const at::Tensor& x,
                        const at::Tensor& t,
                        const EmbeddedText& text,
                        const at::Tensor& pooled) {
  const FluxConfig& config = flux.config;
  const int64_t height = x.size(2), width = x.size(3);
  data::check_shape(x, {-1, config.in_channels / (kFluxPatch * kFluxPatch), -1, -1},
                    "flux_forward: x");
  data::check_shape(t, {x.size(0)}, "flux_forward: t");
  data::check_shape(text.rows, {x.size(0), -1, width_of(config)}, "flux_forward: text");
  data::check_shape(pooled, {x.size(0), config.pooled_projection_dim}, "flux_forward: pooled");
  const at::Tensor time = at::silu(condition_forward(flux, t, pooled)),
                   image = nn::linear(flux.x_embedder, packed_latents(x));
  const at::Tensor places =
      places_of(height / kFluxPatch, width / kFluxPatch, text.rows.size(1), x.device());
  const JointBlockShape shape{.heads = config.num_attention_heads,
                              .image_tokens = image.size(1),
                              .places = nn::rotary_table(places, config.axes_dims_rope)};
  const at::Tensor h = blocks_forward(flux, shape, at::cat({image, text.rows}, 1), time)
                           .slice(1, 0, shape.image_tokens);
  const auto out = nn::linear(flux.norm_out, time).chunk(2, 1);  // scale, shift
  return unpacked_latents(nn::linear(flux.proj_out, modulate(normalised(h), out[1], out[0])),
                          height, width);
}

at::Tensor packed_latents(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 4 && x.size(2) % kFluxPatch == 0 && x.size(3) % kFluxPatch == 0,
              "packed_latents: expected [B, C, H, W] with even sides, got ",
              data::shape_text(x.sizes()));
  const int64_t rows = x.size(2) / kFluxPatch, columns = x.size(3) / kFluxPatch;
  return x.reshape({x.size(0), x.size(1), rows, kFluxPatch, columns, kFluxPatch})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({x.size(0), rows * columns, x.size(1) * kFluxPatch * kFluxPatch});
}

at::Tensor unpacked_latents(const at::Tensor& tokens, int64_t height, int64_t width) {
  const int64_t rows = height / kFluxPatch, columns = width / kFluxPatch;
  const int64_t channels = tokens.size(2) / (kFluxPatch * kFluxPatch);
  return tokens.reshape({tokens.size(0), rows, columns, channels, kFluxPatch, kFluxPatch})
      .permute({0, 3, 1, 4, 2, 5})
      .reshape({tokens.size(0), channels, height, width});
}

}  // namespace diffusion
