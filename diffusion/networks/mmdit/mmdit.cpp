#include "diffusion/networks/mmdit/mmdit.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "data/profile/meta_kernels.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"

namespace fs = std::filesystem;

namespace diffusion {
namespace {

constexpr const char* kPositions = "pos_embed.pos_embed";
constexpr int64_t kTimeWaves = 256;  // sinusoids of the timestep

JointBlockForm form_of(const MMDiTConfig& config, int64_t layer) {
  return {.heads = config.num_attention_heads,
          .head_width = config.attention_head_dim,
          .normalised = config.qk_norm,
          .dual = has_dual_attention(config, layer),
          .last = layer + 1 == config.num_layers};
}

std::string mmdit_block(int64_t layer) {
  return "transformer_blocks." + std::to_string(layer) + ".";
}

void walk(MMDiT& w, const std::string& prefix, const LayerWalk& each) {
  const MMDiTConfig& config = w.config;
  const int64_t width = width_of(config), patch = config.patch_size;
  const std::string embed = prefix + "time_text_embed.";
  each.conv2d(prefix + "pos_embed.proj", w.patch_projection, width, config.in_channels, patch);
  each.linear(embed + "timestep_embedder.linear_1", w.time_linear_1, width, kTimeWaves);
  each.linear(embed + "timestep_embedder.linear_2", w.time_linear_2, width, width);
  each.linear(embed + "text_embedder.linear_1", w.text_linear_1, width,
              config.pooled_projection_dim);
  each.linear(embed + "text_embedder.linear_2", w.text_linear_2, width, width);
  each.linear(prefix + "context_embedder", w.context_embedder, width, config.joint_attention_dim);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    walk(w.transformer_blocks[static_cast<size_t>(i)], form_of(config, i), prefix + mmdit_block(i),
         each);
  }
  each.linear(prefix + "norm_out.linear", w.norm_out, 2 * width, width);
  each.linear(prefix + "proj_out", w.proj_out, patch * patch * config.out_channels, width);
}

MMDiT build_mmdit(const MMDiTConfig& config, const LayerSource& source, const at::Tensor& table) {
  MMDiT mmdit;
  mmdit.config = config;
  mmdit.position_table = table;
  mmdit.transformer_blocks.resize(static_cast<size_t>(config.num_layers));
  walk(mmdit, "", building_walk(source));
  return mmdit;
}

void set_readers(MMDiT& mmdit, const std::shared_ptr<const data::Weights>& file) {
  for (int64_t i = 0; i < mmdit.config.num_layers; ++i) {
    mmdit.transformer_blocks[static_cast<size_t>(i)].read =
        [file, form = form_of(mmdit.config, i), name = mmdit_block(i)](JointBlock& block,
                                                                       at::Device device) {
          walk(block, form, name, tensor_walk(reading_visitor(file, device)));
        };
  }
}

// [positions, width / 2]: sines, then cosines, of rates 10000^(-k / (width / 4)).
at::Tensor waves(const at::Tensor& positions, int64_t width) {
  const int64_t quarter = width / 4;
  const at::Tensor exponents =
      at::arange(quarter, at::kDouble) / static_cast<double>(quarter) * std::log(10000.0);
  const at::Tensor angles = positions.to(at::kDouble).unsqueeze(1) * (-exponents).exp();
  return at::cat({angles.sin(), angles.cos()}, 1);
}

std::vector<int64_t> table_shape(const MMDiTConfig& config) {
  return {1, config.pos_embed_max_size * config.pos_embed_max_size, width_of(config)};
}

}  // namespace

MMDiT load_mmdit(const fs::path& folder, bool streamed) {
  const MMDiTConfig config = read_mmdit_config(folder / "config.json");
  return mmdit_from_weights(data::read_weights(folder, "diffusion_pytorch_model"), config,
                            streamed);
}

MMDiT mmdit_from_weights(const data::Weights& weights, const MMDiTConfig& config, bool streamed) {
  check_mmdit_config(config, weights.source);
  std::vector<std::string> used{kPositions};
  const auto shape = table_shape(config);
  const at::Tensor table = data::take(weights, kPositions, {shape[0], shape[1], shape[2]});
  MMDiT mmdit =
      build_mmdit(config, checkpoint_layers(weights, used, streamed ? kStreamedBlocks : ""), table);
  check_all_used(weights, used);
  if (streamed) set_readers(mmdit, std::make_shared<const data::Weights>(weights));
  return mmdit;
}

void save_mmdit(const fs::path& folder, MMDiT& mmdit, at::ScalarType dtype) {
  write_mmdit_config(folder / "config.json", mmdit.config);
  data::write_safetensors(folder / "diffusion_pytorch_model.safetensors",
                          data::collect(mmdit, "", dtype));
}

MMDiT make_mmdit(const MMDiTConfig& config, at::Generator& generator) {
  check_mmdit_config(config, "make_mmdit");
  return build_mmdit(config, random_layers(generator), sincos_positions(config));
}

MMDiT meta_mmdit(const MMDiTConfig& config) {
  check_mmdit_config(config, "meta_mmdit");
  data::use_meta_kernels();
  return build_mmdit(config, meta_layers(), at::empty(table_shape(config), at::kMeta));
}

at::Tensor sincos_positions(const MMDiTConfig& config) {
  const int64_t side = config.pos_embed_max_size, width = width_of(config);
  const auto base = static_cast<double>(config.sample_size / config.patch_size);
  // fp32, as there
  const at::Tensor places = at::arange(side, at::kFloat) / (static_cast<double>(side) / base);
  const at::Tensor one = waves(places, width);  // [side, width / 2]
  const at::Tensor columns = one.unsqueeze(0).expand({side, side, -1}),
                   rows = one.unsqueeze(1).expand({side, side, -1});
  return at::cat({columns, rows}, 2).to(at::kFloat).reshape(table_shape(config));
}

void for_each_tensor(MMDiT& mmdit, const std::string& prefix, const data::TensorVisitor& visit) {
  visit(prefix + kPositions, mmdit.position_table);
  walk(mmdit, prefix, tensor_walk(visit));
}

MMDiT with_compute_dtype(const MMDiT& mmdit, at::ScalarType type) {
  MMDiT typed = mmdit;
  for_each_adaptable_layer(typed, casting_visitor(type));
  return typed;
}

void for_each_adaptable_layer(MMDiT& mmdit, const AdaptableLayerVisitor& visit) {
  walk(mmdit, "", adaptable_walk(visit));
}

}  // namespace diffusion
