#include "diffusion/networks/mmdit/forward.hpp"

#include <ATen/ATen.h>

#include "data/base/shape.hpp"
#include "data/train/activation_checkpointing.hpp"
#include "diffusion/networks/layers/embedding.hpp"

namespace diffusion {
namespace {

// The middle of the table of positions. -> [1, rows columns, D]
at::Tensor cropped_positions(const MMDiT& mmdit, int64_t rows, int64_t columns) {
  const int64_t side = mmdit.config.pos_embed_max_size;
  TORCH_CHECK(rows <= side && columns <= side, "mmdit_forward: x has ", rows, " x ", columns,
              " patches, the table of positions ", side, " x ", side);
  const int64_t top = (side - rows) / 2, left = (side - columns) / 2;
  return mmdit.position_table.detach()
      .view({1, side, side, -1})
      .slice(1, top, top + rows)
      .slice(2, left, left + columns)
      .reshape({1, rows * columns, -1});
}

// [B, C, H, W] -> [B, rows columns, D]
at::Tensor patches(const MMDiT& mmdit, const at::Tensor& x, int64_t rows, int64_t columns) {
  const at::Tensor projected = nn::conv2d(mmdit.patch_projection, x, mmdit.config.patch_size, 0);
  return projected.flatten(2).transpose(1, 2) + cropped_positions(mmdit, rows, columns);
}

// [B, rows columns, patch patch C] -> [B, C, H, W]
at::Tensor unpatched(const MMDiTConfig& config,
                     const at::Tensor& x,
                     int64_t rows,
                     int64_t columns) {
  const int64_t patch = config.patch_size, batch = x.size(0);
  return x.reshape({batch, rows, columns, patch, patch, config.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({batch, config.out_channels, rows * patch, columns * patch});
}

at::Tensor time_forward(const MMDiT& mmdit, const at::Tensor& t, const at::Tensor& pooled) {
  const int64_t waves = mmdit.time_linear_1.weight.size(1);
  const at::Tensor time = timestep_embedding(t, waves, /*flip_sin_to_cos=*/true, /*freq_shift=*/0.0)
                              .to(mmdit.time_linear_1.weight.scalar_type());
  return embedding_mlp(mmdit.time_linear_1, mmdit.time_linear_2, time) +
         embedding_mlp(mmdit.text_linear_1, mmdit.text_linear_2, pooled);
}

}  // namespace

EmbeddedText embed_text(const MMDiT& mmdit, const at::Tensor& hidden) {
  data::check_shape(hidden, {-1, -1, mmdit.config.joint_attention_dim}, "embed_text: hidden");
  return {nn::linear(mmdit.context_embedder, hidden)};
}

at::Tensor mmdit_forward(const MMDiT& mmdit,
                         const at::Tensor& x,
                         const at::Tensor& t,
                         const EmbeddedText& text,
                         const at::Tensor& pooled) {
  const MMDiTConfig& config = mmdit.config;
  data::check_shape(x, {-1, config.in_channels, -1, -1}, "mmdit_forward: x");
  data::check_shape(t, {x.size(0)}, "mmdit_forward: t");
  data::check_shape(text.rows, {x.size(0), -1, width_of(config)}, "mmdit_forward: text");
  data::check_shape(pooled, {x.size(0), config.pooled_projection_dim}, "mmdit_forward: pooled");
  TORCH_CHECK(x.size(2) % config.patch_size == 0 && x.size(3) % config.patch_size == 0,
              "mmdit_forward: x is ", x.size(2), " x ", x.size(3), ", the patch ",
              config.patch_size);
  const int64_t rows = x.size(2) / config.patch_size, columns = x.size(3) / config.patch_size;
  const at::Tensor time = at::silu(time_forward(mmdit, t, pooled));
  at::Tensor h = at::cat({patches(mmdit, x, rows, columns), text.rows}, 1);
  for (size_t i = 0; i < mmdit.transformer_blocks.size(); ++i) {
    const JointBlock w = in_memory(mmdit.transformer_blocks[i], h.device());
    const JointBlockShape shape{.heads = config.num_attention_heads,
                                .image_tokens = rows * columns,
                                .last = i + 1 == mmdit.transformer_blocks.size()};
    const auto block = [w, shape](const std::vector<at::Tensor>& in) {
      return joint_block_forward(w, shape, in[0], in[1]);
    };
    h = train::run_block(mmdit.gradient_checkpointing, block, {h, time}, tensors_of(w));
  }
  const auto out = nn::linear(mmdit.norm_out, time).chunk(2, 1);  // scale, shift
  h = nn::linear(mmdit.proj_out, modulate(normalised(h), out[1], out[0]));
  return unpatched(config, h, rows, columns);
}

}  // namespace diffusion
