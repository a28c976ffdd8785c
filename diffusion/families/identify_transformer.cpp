#include "diffusion/families/identify_transformer.hpp"

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>

#include "diffusion/families/families.hpp"
#include "diffusion/families/kind_details.hpp"

namespace diffusion {
namespace {

using data::Weights;

// The parts of a transformer's single file: "transformer, VAE, CLIP-L".
std::string held_parts(const Weights& weights) {
  std::string holds = "transformer";
  for (const auto& [prefix, part] :
       {std::pair{"first_stage_model.", "VAE"}, std::pair{"vae.", "VAE"},
        std::pair{"text_encoders.clip_l.", "CLIP-L"}, std::pair{"text_encoders.clip_g.", "CLIP-G"},
        std::pair{"text_encoders.t5xxl.", "T5"}}) {
    if (data::has_prefix(weights, prefix)) holds += std::string(", ") + part;
  }
  return holds;
}

// The form that the transformer of Stable Diffusion 3 has. base: what its names start with.
ModelKind joint_transformer(const Weights& weights, const std::string& base, bool diffusers) {
  const std::string blocks = base + (diffusers ? "transformer_blocks." : "joint_blocks.");
  const std::string image = diffusers ? "attn." : "x_block.attn.";
  ModelKind kind;
  kind.kind = std::string(diffusers ? "transformer" : "checkpoint") + " of Stable Diffusion 3" +
              (diffusers ? ", diffusers' names" : ", original names");
  add_detail(kind, "layers", data::count_numbered(weights, blocks));
  const std::string patches = base + (diffusers ? "pos_embed.proj" : "x_embedder.proj");
  add_detail(kind, "input channels", axis_size(weights, patches, ".weight", 1));
  add_detail(kind, "width", axis_size(weights, patches, ".weight", 0));
  add_detail(kind, "text width", axis_size(weights, base + "context_embedder", ".weight", 1));
  const bool normalised =
      data::has(weights, blocks + "0." + image + (diffusers ? "norm_q" : "ln_q") + ".weight");
  const bool dual =
      data::has_prefix(weights, blocks + "0." + (diffusers ? "" : "x_block.") + "attn2.");
  kind.details.push_back({"form", dual         ? "3.5 medium"
                                  : normalised ? "3.5 large or large turbo"
                                               : "3 medium"});
  if (!diffusers) kind.details.push_back({"holds", held_parts(weights)});
  return kind;
}

// "dev": FLUX.1's release of such an input, or what is made of it.
std::string flux_release(const Weights& weights, const std::string& base, int64_t channels) {
  if (channels == 384) return "Fill";
  if (channels == 128) return "Depth or Canny";
  if (channels == 196) return "Flex.2";
  const bool guided = data::has_prefix(weights, base + "guidance_in.") ||
                      data::has_prefix(weights, base + "time_text_embed.guidance_embedder.");
  return guided ? "dev, or made of it: the guidance is an input" : "schnell: no input of guidance";
}

// The form that the transformer of FLUX.1 has. base: what its names start with.
ModelKind flux_transformer(const Weights& weights, const std::string& base, bool diffusers) {
  ModelKind kind;
  kind.kind = std::string(diffusers ? "transformer" : "checkpoint") + " of FLUX.1" +
              (diffusers ? ", diffusers' names" : ", original names");
  const std::string in = base + (diffusers ? "x_embedder" : "img_in");
  const int64_t channels = axis_size(weights, in, ".weight", 1);
  add_detail(
      kind, "double layers",
      data::count_numbered(weights, base + (diffusers ? "transformer_blocks." : "double_blocks.")));
  add_detail(kind, "single layers",
             data::count_numbered(
                 weights, base + (diffusers ? "single_transformer_blocks." : "single_blocks.")));
  add_detail(kind, "input channels of a token", channels);
  add_detail(kind, "width", axis_size(weights, in, ".weight", 0));
  add_detail(kind, "text width",
             axis_size(weights, base + (diffusers ? "context_embedder" : "txt_in"), ".weight", 1));
  kind.details.push_back({"form", flux_release(weights, base, channels)});
  if (!diffusers) kind.details.push_back({"holds", held_parts(weights)});
  return kind;
}

// A family that laurel knows by its single file's names alone.
std::optional<ModelKind> refused_transformer(const Weights& weights) {
  for (const auto& family : model_families()) {
    if (family.supported || *family.blocks == '\0') continue;
    for (const char* prefix : family.prefixes) {
      if (data::has_prefix(weights, prefix))
        return ModelKind{std::string("transformer of ") + family.name,
                         {{"supported", std::string("no; ") + family.instead}}};
    }
  }
  return std::nullopt;
}

std::optional<ModelKind> t5_encoder(const Weights& weights) {
  const std::string first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias";
  if (!data::has_prefix(weights, first)) return std::nullopt;
  ModelKind kind{.kind = "T5 encoder", .details = {}};
  add_detail(kind, "text width", axis_size(weights, "encoder.final_layer_norm", ".weight", 0));
  add_detail(kind, "text layers", data::count_numbered(weights, "encoder.block."));
  return kind;
}

}  // namespace

std::optional<ModelKind> identify_transformer(const Weights& weights) {
  if (const auto kind = refused_transformer(weights)) return kind;
  for (const std::string base : {"model.diffusion_model.", ""}) {
    if (data::has_prefix(weights, base + "joint_blocks."))
      return joint_transformer(weights, base, false);
    if (data::has_prefix(weights, base + "double_blocks."))
      return flux_transformer(weights, base, false);
  }
  if (data::has_prefix(weights, "single_transformer_blocks.") &&
      data::has(weights, "single_transformer_blocks.0.proj_mlp.weight"))
    return flux_transformer(weights, "", true);
  if (data::has(weights, "pos_embed.pos_embed") &&
      data::has(weights, "transformer_blocks.0.attn.add_q_proj.weight"))
    return joint_transformer(weights, "", true);
  const auto any = [&](const std::string& start) {
    return data::has_prefix(weights, start) ||
           data::has_prefix(weights, "model.diffusion_model." + start) ||
           data::has_prefix(weights, "transformer." + start);
  };
  if (any("transformer_blocks."))
    return ModelKind{"diffusion transformer: laurel does not read it", {}};
  return t5_encoder(weights);
}

}  // namespace diffusion
