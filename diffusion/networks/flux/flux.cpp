#include "diffusion/networks/flux/flux.hpp"

#include <ATen/ATen.h>

#include "data/profile/meta_kernels.hpp"
#include "data/weights/collect.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"

namespace fs = std::filesystem;

namespace diffusion {
namespace {

constexpr int64_t kFluxWaves = 256;  // sinusoids of the timestep and of the guidance

JointBlockForm form_of(const FluxConfig& config) {
  return {.heads = config.num_attention_heads,
          .head_width = config.attention_head_dim,
          .normalised = true};
}

void walk(SingleBlock& w,
          const FluxConfig& config,
          const std::string& prefix,
          const LayerWalk& each) {
  const int64_t width = width_of(config);
  AttentionNames names = kImageNames;
  names.out = "";
  each.linear(prefix + "norm.linear", w.modulation, 3 * width, width);
  walk(w.attn, form_of(config), prefix + "attn.", names, each);
  each.linear(prefix + "proj_mlp", w.proj_mlp, 4 * width, width);
  each.linear(prefix + "proj_out", w.proj_out, width, 5 * width);
}

void walk_inputs(Flux& w, const std::string& prefix, const LayerWalk& each) {
  const FluxConfig& config = w.config;
  const int64_t width = width_of(config);
  const std::string embed = prefix + "time_text_embed.";
  const auto mlp = [&](const std::string& name, nn::Linear& first, nn::Linear& second, int64_t in) {
    each.linear(embed + name + ".linear_1", first, width, in);
    each.linear(embed + name + ".linear_2", second, width, width);
  };
  mlp("timestep_embedder", w.time_linear_1, w.time_linear_2, kFluxWaves);
  if (config.guidance_embeds)
    mlp("guidance_embedder", w.guidance_linear_1, w.guidance_linear_2, kFluxWaves);
  mlp("text_embedder", w.text_linear_1, w.text_linear_2, config.pooled_projection_dim);
  each.linear(prefix + "context_embedder", w.context_embedder, width, config.joint_attention_dim);
  each.linear(prefix + "x_embedder", w.x_embedder, width, config.in_channels);
}

constexpr const char *kFluxJoint = "transformer_blocks.",
                     *kFluxSingle = "single_transformer_blocks.";

std::string flux_block(const char* name, size_t i) { return name + std::to_string(i) + "."; }

void walk(Flux& w, const std::string& prefix, const LayerWalk& each) {
  walk_inputs(w, prefix, each);
  for (size_t i = 0; i < w.transformer_blocks.size(); ++i)
    walk(w.transformer_blocks[i], form_of(w.config), prefix + flux_block(kFluxJoint, i), each);
  for (size_t i = 0; i < w.single_transformer_blocks.size(); ++i)
    walk(w.single_transformer_blocks[i], w.config, prefix + flux_block(kFluxSingle, i), each);
  const int64_t width = width_of(w.config);
  each.linear(prefix + "norm_out.linear", w.norm_out, 2 * width, width);
  each.linear(prefix + "proj_out", w.proj_out, w.config.out_channels, width);
}

Flux build_flux(const FluxConfig& config, const LayerSource& source) {
  Flux flux;
  flux.config = config;
  flux.transformer_blocks.resize(static_cast<size_t>(config.num_layers));
  flux.single_transformer_blocks.resize(static_cast<size_t>(config.num_single_layers));
  walk(flux, "", building_walk(source));
  return flux;
}

void set_readers(Flux& flux, const std::shared_ptr<const data::Weights>& file) {
  for (size_t i = 0; i < flux.transformer_blocks.size(); ++i) {
    flux.transformer_blocks[i].read = [file, form = form_of(flux.config),
                                       name = flux_block(kFluxJoint, i)](JointBlock& block,
                                                                         at::Device device) {
      walk(block, form, name, tensor_walk(reading_visitor(file, device)));
    };
  }
  for (size_t i = 0; i < flux.single_transformer_blocks.size(); ++i) {
    flux.single_transformer_blocks[i].read = [file, config = flux.config,
                                              name = flux_block(kFluxSingle, i)](
                                                 SingleBlock& block, at::Device device) {
      walk(block, config, name, tensor_walk(reading_visitor(file, device)));
    };
  }
}

}  // namespace

Flux load_flux(const fs::path& folder, bool streamed) {
  const FluxConfig config = read_flux_config(folder / "config.json");
  return flux_from_weights(data::read_weights(folder, "diffusion_pytorch_model"), config, streamed);
}

Flux flux_from_weights(const data::Weights& weights, const FluxConfig& config, bool streamed) {
  check_flux_config(config, weights.source);
  std::vector<std::string> used;
  Flux flux = build_flux(config, checkpoint_layers(weights, used, streamed ? kStreamedBlocks : ""));
  check_all_used(weights, used);
  if (streamed) set_readers(flux, std::make_shared<const data::Weights>(weights));
  return flux;
}

void save_flux(const fs::path& folder, Flux& flux, at::ScalarType dtype) {
  write_flux_config(folder / "config.json", flux.config);
  data::write_safetensors(folder / "diffusion_pytorch_model.safetensors",
                          data::collect(flux, "", dtype));
}

Flux make_flux(const FluxConfig& config, at::Generator& generator) {
  check_flux_config(config, "make_flux");
  return build_flux(config, random_layers(generator));
}

Flux meta_flux(const FluxConfig& config) {
  check_flux_config(config, "meta_flux");
  data::use_meta_kernels();
  return build_flux(config, meta_layers());
}

void for_each_tensor(Flux& flux, const std::string& prefix, const data::TensorVisitor& visit) {
  walk(flux, prefix, tensor_walk(visit));
}

Flux with_compute_dtype(const Flux& flux, at::ScalarType type) {
  Flux typed = flux;
  for_each_adaptable_layer(typed, casting_visitor(type));
  return typed;
}

void for_each_adaptable_layer(Flux& flux, const AdaptableLayerVisitor& visit) {
  walk(flux, "", adaptable_walk(visit));
}

std::vector<at::Tensor> tensors_of(const SingleBlock& block) {
  std::vector<at::Tensor> tensors;
  for (const auto* layer : {&block.modulation, &block.proj_mlp, &block.proj_out})
    add_tensors(*layer, tensors);
  add_tensors(block.attn, tensors);
  return tensors;
}

}  // namespace diffusion
