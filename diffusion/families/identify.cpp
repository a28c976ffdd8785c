#include "diffusion/families/identify.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <set>

#include "data/base/strings.hpp"
#include "diffusion/families/families.hpp"
#include "diffusion/families/identify_transformer.hpp"
#include "diffusion/families/kind_details.hpp"

namespace diffusion {
namespace {

using data::Weights;

bool ends_any(const Weights& weights, const std::string& end) {
  return std::any_of(weights.tensors.begin(), weights.tensors.end(),
                     [&](auto& entry) { return entry.first.ends_with(end); });
}

// The family by the width of the text that the UNet attends to; nullptr: none of them.
const ModelFamily* family_of(int64_t context, bool reads_pooled_text) {
  const ModelFamily* family = family_of_width(context);
  return family && family->reads_pooled_text == reads_pooled_text ? family : nullptr;
}

std::string purpose_of(int64_t in_channels) {
  if (in_channels == 9) return ", inpainting";
  if (in_channels == 8) return ", image editing (InstructPix2Pix)";
  return "";
}

// `base`: where the UNet's tensors start, in diffusers' names or the original ones.
ModelKind unet(const Weights& weights, const std::string& base, bool diffusers) {
  const int64_t context = axis_size(weights, base, "attn2.to_k.weight", 1);
  // The published reward branch has tensors of SDXL's name.
  const bool published = data::has(weights, "proj_deal.proj_in.weight");
  const bool added =
      !published && data::has_prefix(weights, base + (diffusers ? "add_embedding." : "label_emb."));
  const std::string first = base + (diffusers ? "conv_in" : "input_blocks.0.0");
  const int64_t in_channels = axis_size(weights, first, ".weight", 1);
  const ModelFamily* family = family_of(context, added);
  const std::string name = family  ? family->name
                           : added ? "SDXL's form"
                                   : "Stable Diffusion's form";
  ModelKind kind;
  kind.kind = (diffusers ? "UNet of " : "checkpoint of ") + name + purpose_of(in_channels) +
              (diffusers ? ", diffusers' names" : ", original names");
  add_detail(kind, "input channels", in_channels);
  add_detail(kind, "first width", axis_size(weights, first, ".weight", 0));
  add_detail(kind, "cross attention width", context);
  if (published || data::has_prefix(weights, "reward_embedding."))
    kind.details.push_back({"reads a reward", published ? "published layout" : "native layout"});
  if (diffusers && data::has(weights, "v_pred"))
    kind.details.push_back({"prediction", "v_prediction (marked by the tensor v_pred)"});
  else if (diffusers && family && family->both_predictions)
    kind.details.push_back(
        {"prediction", "v_prediction at 768 px, epsilon at 512 px: not in the weights"});
  else if (diffusers && family && !added)
    kind.details.push_back({"prediction", "epsilon (as all of this family)"});
  if (!diffusers) {
    const bool vae = data::has_prefix(weights, "first_stage_model.");
    const bool text =
        data::has_prefix(weights, "cond_stage_model.") || data::has_prefix(weights, "conditioner.");
    kind.details.push_back(
        {"holds", std::string("UNet") + (vae ? ", VAE" : "") + (text ? ", text encoder" : "")});
    if (data::has_prefix(weights, "model_ema."))
      kind.details.push_back({"EMA", "yes: twice the size that sampling needs"});
  }
  return kind;
}

ModelKind vae(const Weights& weights) {
  const bool diffusers = data::has_prefix(weights, "decoder.up_blocks.");
  ModelKind kind{.kind = diffusers ? "VAE (AutoencoderKL), diffusers' names"
                                   : "VAE (AutoencoderKL), original names",
                 .details = {}};
  add_detail(kind, "latent channels", axis_size(weights, "decoder.conv_in", ".weight", 1));
  const int64_t levels =
      data::count_numbered(weights, diffusers ? "decoder.up_blocks." : "decoder.up.");
  add_detail(kind, "levels", levels);
  if (levels > 0 && levels <= 32)
    add_detail(kind, "pixels per latent, a side", int64_t{1} << (levels - 1));
  return kind;
}

ModelKind clip(const Weights& weights, bool text, bool vision) {
  ModelKind kind;
  kind.kind = text && vision ? "CLIP (text and vision)"
              : text         ? "CLIP text encoder"
                             : "CLIP vision tower";
  const std::string prefix = data::has_prefix(weights, "text_model.") || !text ? "text_model." : "";
  if (text) {
    add_detail(kind, "text width",
               axis_size(weights, prefix + "embeddings.token_embedding", "", 1));
    add_detail(kind, "text layers", data::count_numbered(weights, prefix + "encoder.layers."));
    add_detail(kind, "vocabulary",
               axis_size(weights, prefix + "embeddings.token_embedding", "", 0));
    add_detail(kind, "tokens", axis_size(weights, prefix + "embeddings.position_embedding", "", 0));
  }
  if (vision) {
    add_detail(kind, "vision width",
               axis_size(weights, "vision_model.embeddings.patch_embedding", "", 0));
    add_detail(kind, "vision layers",
               data::count_numbered(weights, "vision_model.encoder.layers."));
    add_detail(kind, "patch", axis_size(weights, "vision_model.embeddings.patch_embedding", "", 2));
    add_detail(kind, "embedding", axis_size(weights, "visual_projection.", "", 0));
  }
  return kind;
}

// Adapters differ in the ends of their names: kohya, PEFT, diffusers' older ones, LyCORIS. `factor`
// is [rank, in, ...].
struct LoraNames {
  const char* factor;
  const char* title;
};
constexpr LoraNames kLoraNames[] = {
    {".lora_down.weight", "LoRA, kohya's names"},
    {".lora_A.weight", "LoRA, PEFT's names"},
    {".lora_A.default.weight", "LoRA, PEFT's names, with the adapter's"},
    {".lora.down.weight", "LoRA, diffusers' older names"},
    {".hada_w1_b", "LoHa (LyCORIS)"}};

constexpr const char* kTransformer = "transformer";

// Of an adapter's tensor: a block that FLUX.1 alone has.
bool is_of_flux(const std::string& name) {
  for (const char* blocks : {"double_blocks", "single_blocks", "single_transformer_blocks"}) {
    if (name.find(blocks) != std::string::npos) return true;
  }
  return false;
}

// "lora_unet_down_blocks_0_..." or "unet.down_blocks.0...": which model it changes.
std::string part_of(const std::string& name) {
  if (name.starts_with("lora_te2") || name.starts_with("text_encoder_2."))
    return "second text encoder";
  if (name.starts_with("lora_te") || name.starts_with("text_encoder.")) return "text encoder";
  const bool transformer = name.starts_with("transformer.") ||
                           name.starts_with("lora_transformer_") ||
                           name.find("joint_blocks") != std::string::npos || is_of_flux(name);
  return transformer ? kTransformer : "UNet";
}

std::string alpha_text(const Weights& weights, const std::string& module) {
  const auto found = weights.tensors.find(module + ".alpha");
  if (found == weights.tensors.end() || found->second.numel() != 1) return "";
  const double alpha = found->second.to(at::kFloat).item<double>();
  std::string text = std::to_string(alpha);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

// What is told of an adapter's layers.
struct AdapterLayers {
  std::set<std::string> ranks{}, alphas{}, parts{};
  int64_t count = 0, context = -1;  // width of the text that the layers read
  bool flux = false;
};

// `inputs`: of the layer's weight.
void add_layer(AdapterLayers& layers,
               const Weights& weights,
               const std::string& module,
               const std::string& rank,
               int64_t inputs) {
  ++layers.count;
  layers.ranks.insert(rank);
  layers.parts.insert(part_of(module));
  layers.flux = layers.flux || is_of_flux(module);
  const std::string alpha = alpha_text(weights, module);
  if (!alpha.empty()) layers.alphas.insert(alpha);
  const bool reads_text = module.ends_with("attn2_to_k") || module.ends_with("attn2.to_k");
  if (reads_text && part_of(module) != kTransformer) layers.context = inputs;
}

ModelKind adapter_kind(const std::string& title, const AdapterLayers& layers) {
  ModelKind kind{.kind = title, .details = {}};
  if (layers.context > 0) {
    const ModelFamily* family = family_of_width(layers.context);
    kind.details.push_back({"made for", family ? family->name : "Stable Diffusion's form"});
  }
  if (layers.parts.contains(kTransformer))
    kind.details.push_back(
        {"made for", layers.flux ? "FLUX.1" : "a transformer, such as Stable Diffusion 3"});
  kind.details.push_back({"rank", data::joined(layers.ranks, ", ")});
  kind.details.push_back({"alpha", layers.alphas.empty() ? "not in the file: equal to the rank"
                                                         : data::joined(layers.alphas, ", ")});
  add_detail(kind, "changed layers", layers.count);
  kind.details.push_back({"changes", data::joined(layers.parts, ", ")});
  return kind;
}

ModelKind lora(const Weights& weights, const LoraNames& names) {
  AdapterLayers layers;
  for (const auto& [name, tensor] : weights.tensors) {
    if (!name.ends_with(names.factor) || tensor.dim() < 2) continue;
    const std::string module = name.substr(0, name.size() - std::string(names.factor).size());
    add_layer(layers, weights, module, std::to_string(tensor.size(0)), tensor.size(1));
  }
  return adapter_kind(names.title, layers);
}

// Either factor is whole, or a product with a rank.
ModelKind lokr(const Weights& weights) {
  const auto found = [&](const std::string& name) -> const at::Tensor* {
    const auto tensor = weights.tensors.find(name);
    return tensor == weights.tensors.end() || tensor->second.dim() < 2 ? nullptr : &tensor->second;
  };
  AdapterLayers layers;
  for (const auto& [name, tensor] : weights.tensors) {
    const std::string module = name.substr(0, name.find(".lokr_"));
    const bool first = name.ends_with(".lokr_w1") || name.ends_with(".lokr_w1_a");
    if (!first || tensor.dim() < 2) continue;
    int64_t inputs = 1;
    std::string rank = "whole";
    for (const std::string factor : {".lokr_w1", ".lokr_w2"}) {
      const at::Tensor* whole = found(module + factor);
      const at::Tensor* right = found(module + factor + "_b");
      if (!whole && right) rank = std::to_string(right->size(0));
      if (whole || right) inputs *= (whole ? whole : right)->size(1);
    }
    add_layer(layers, weights, module, rank, inputs);
  }
  return adapter_kind("LoKr (LyCORIS)", layers);
}

std::optional<ModelKind> adapter(const Weights& weights) {
  for (const auto& names : kLoraNames) {
    if (ends_any(weights, names.factor)) return lora(weights, names);
  }
  if (ends_any(weights, ".lokr_w1") || ends_any(weights, ".lokr_w1_a")) return lokr(weights);
  if (data::has_prefix(weights, "controlnet_cond_embedding.") ||
      data::has_prefix(weights, "control_model."))
    return ModelKind{"ControlNet: laurel does not read it", {}};
  if (data::has(weights, "emb_params") || data::has(weights, "clip_l"))
    return ModelKind{"textual inversion embedding (give it to sample --embedding)", {}};
  return std::nullopt;
}

// One head, or the members of an ensemble.
std::optional<ModelKind> reward_head(const Weights& weights) {
  const int64_t members = data::count_numbered(weights, "members.");
  const std::string prefix = members > 0 ? "members.0." : "";
  const bool linear = data::has(weights, prefix + "layers.7.weight"),
             relu = data::has(weights, prefix + "layers.11.weight");
  const auto first = weights.tensors.find(prefix + (linear || relu ? "layers.0.weight" : "weight"));
  if (first == weights.tensors.end() || first->second.dim() != 2) return std::nullopt;
  if (!linear && !relu && (first->second.size(0) != 1 || !data::has(weights, prefix + "bias")))
    return std::nullopt;
  ModelKind kind{.kind = linear ? "aesthetic head (LAION v2, linear layers)"
                         : relu ? "aesthetic head (LAION v2, ReLU)"
                                : "aesthetic head (LAION v1, linear)",
                 .details = {}};
  add_detail(kind, "CLIP embedding", first->second.size(1));
  if (members > 0) add_detail(kind, "members", members);
  return kind;
}

std::optional<ModelKind> training_state(const Weights& weights) {
  if (!data::has(weights, "generator") || !data::has_prefix(weights, "param.")) return std::nullopt;
  ModelKind kind{.kind = "laurel's training state (to resume from)", .details = {}};
  const auto step = weights.metadata.find("step");
  if (step != weights.metadata.end()) kind.details.push_back({"step", step->second});
  kind.details.push_back({"moving average", data::has_prefix(weights, "ema.") ? "yes" : "no"});
  return kind;
}

}  // namespace

ModelKind identify(const Weights& weights) {
  if (const auto kind = training_state(weights)) return *kind;
  if (const auto kind = adapter(weights)) return *kind;
  if (const auto kind = identify_transformer(weights)) return *kind;
  if (data::has_prefix(weights, "model.diffusion_model.input_blocks."))
    return unet(weights, "model.diffusion_model.", false);
  if (data::has_prefix(weights, "down_blocks.") && data::has_prefix(weights, "time_embedding."))
    return unet(weights, "", true);
  if (data::has(weights, "decoder.conv_in.weight")) return vae(weights);
  const bool text = data::has(weights, "text_model.embeddings.token_embedding.weight") ||
                    data::has(weights, "embeddings.token_embedding.weight");
  const bool vision = data::has_prefix(weights, "vision_model.embeddings.");
  if (text || vision) return clip(weights, text, vision);
  if (const auto kind = reward_head(weights)) return *kind;
  if (data::has(weights, "latents")) return {"initial latents", {}};
  return {"unknown", {}};
}

}  // namespace diffusion
