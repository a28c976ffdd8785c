#include "diffusion/checkpoints/ldm_layout.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "diffusion/checkpoints/identify.hpp"
#include "diffusion/naming/ldm_names.hpp"

namespace diffusion {
namespace {

using data::BadInput;
using data::has_prefix;
using data::Weights;

const std::string kUNet = "model.diffusion_model.";
const std::string kPacked = ".in_proj_";
const char* const kHeads[] = {".q_proj.", ".k_proj.", ".v_proj."};  // packed in this order
constexpr int64_t kOpenClipHLayers = 24;

std::string first_prefix(const Weights& file, const std::vector<std::string>& prefixes) {
  for (const auto& prefix : prefixes) {
    if (has_prefix(file, prefix)) return prefix;
  }
  return "";
}

// Width of the text that the UNet attends to; 0 when it attends to none.
int64_t context_width(const Weights& file) {
  for (auto found = file.tensors.lower_bound(kUNet);
       found != file.tensors.end() && found->first.starts_with(kUNet); ++found) {
    if (found->first.ends_with("attn2.to_k.weight") && found->second.dim() == 2)
      return found->second.size(1);
  }
  return 0;
}

// Linear layers around the transformers came with Stable Diffusion 2.
bool has_linear_projection(const Weights& file) {
  const auto found = file.tensors.find(kUNet + "middle_block.1.proj_in.weight");
  return found != file.tensors.end() && found->second.dim() == 2;
}

const ModelFamily& family_of(const Weights& file) {
  for (const auto& family : model_families()) {
    for (const char* prefix : family.prefixes) {
      if (has_prefix(file, prefix)) return family;
    }
  }
  return family_of_network(context_width(file), has_prefix(file, kUNet + "label_emb."),
                           has_linear_projection(file));
}

[[noreturn]] void refuse(const Weights& file, const std::string& what_to_do) {
  throw BadInput(file.source +
                 ": expected a whole checkpoint of Stable Diffusion 1, 2 or XL, found " +
                 identify(file).kind + what_to_do);
}

void check_is_checkpoint(const Weights& file) {
  if (!has_prefix(file, kUNet + "input_blocks.")) {
    const std::string kind = identify(file).kind;
    if (kind.starts_with("LoRA") || kind.starts_with("LoHa") || kind.starts_with("LoKr"))
      refuse(file, "; give it to --lora beside a model");
    if (kind.starts_with("UNet"))
      refuse(file, "; put it with its config.json into the unet folder of a diffusers model");
    refuse(file, "");
  }
  if (!family_of(file).supported) refuse(file, ", which is not supported; use the base model");
}

// Residual blocks a level: the first level ends with the first "op".
int64_t layers_a_level(const Weights& file) {
  const std::string inputs = kUNet + "input_blocks.";
  const int64_t count = data::count_numbered(file, inputs);
  for (int64_t i = 1; i < count; ++i) {
    if (data::has(file, inputs + std::to_string(i) + ".0.op.weight")) return i - 1;
  }
  return count - 1;
}

// Stable Diffusion 2 reads the text before the last layer of OpenCLIP-H, which diffusers therefore
// leaves out. A file of 23 layers lacks it already.
int64_t used_text_layers(const Weights& file, const std::string& text) {
  const int64_t count = data::count_numbered(file, text + "transformer.resblocks.");
  return count == kOpenClipHLayers - 1 ? count : count - 1;
}

std::string clip_name(const std::string& name) {
  if (name.ends_with("position_ids")) return "";
  const bool known = name.starts_with("embeddings.") || name.starts_with("encoder.") ||
                     name.starts_with("final_layer_norm.");
  return known ? "text_model." + name : name.starts_with("text_model.") ? name : "";
}

std::string text_name(const LdmLayout& layout,
                      const FamilyEncoder& encoder,
                      const std::string& name) {
  if (!encoder.open_clip) return clip_name(name);
  const std::string known = open_clip_name(name);
  if (!encoder.drops_last_layer) return known;
  // An encoder without its last layer has no pooled text.
  if (known == "text_projection.weight") return "";
  const std::string layers = "text_model.encoder.layers.";
  if (!known.starts_with(layers)) return known;
  const auto layer = data::leading_number<int64_t>(std::string_view(known).substr(layers.size()));
  return layer && *layer < layout.text_layers ? known : "";
}

bool is_under(const std::string& name, const std::string& prefix) {
  return !prefix.empty() && name.starts_with(prefix);
}

// Adds the tensor or tensors that `place` stands for.
void add(Weights& part, const LdmPlace& place, const at::Tensor& tensor) {
  const size_t packed = place.name.find(kPacked);
  if (packed != std::string::npos) {
    if (tensor.dim() == 0 || tensor.size(0) % 3 != 0)
      throw BadInput(part.source + ": " + place.name +
                     ": expected queries, keys and values of one size");
    const auto parts = tensor.chunk(3);  // [3 D, ...] -> 3 x [D, ...]
    const std::string end = place.name.substr(packed + kPacked.size());
    for (size_t i = 0; i < 3; ++i)
      part.tensors[place.name.substr(0, packed) + kHeads[i] + end] = parts[i];
    return;
  }
  const bool transposed = place.name == "text_projection.weight" && tensor.dim() == 2;
  // The VAE's attention had 1x1 convolutions.
  const bool convolution = place.part == kVaePart && tensor.dim() > 2 &&
                           place.name.find(".attentions.") != std::string::npos;
  part.tensors[place.name] = transposed ? tensor.t() : convolution ? tensor.flatten(1) : tensor;
}

}  // namespace

LdmLayout ldm_layout(const Weights& file) {
  check_is_checkpoint(file);
  LdmLayout layout;
  layout.family = &family_of(file);
  layout.unet_layers = layers_a_level(file);
  layout.vae = first_prefix(file, {"first_stage_model.", "vae."});
  layout.vae_levels = data::count_numbered(file, layout.vae + "decoder.up.");
  for (const auto& encoder : layout.family->text_encoders) {
    layout.text.push_back(first_prefix(file, {encoder.prefix}));
    if (encoder.drops_last_layer) layout.text_layers = used_text_layers(file, layout.text.back());
  }
  return layout;
}

std::optional<LdmPlace> place_of(const LdmLayout& layout, const std::string& original) {
  LdmPlace place{kUnetPart, ""};
  if (original.starts_with(kUNet)) {
    place.name = unet_name(original.substr(kUNet.size()), layout.unet_layers);
  } else if (is_under(original, layout.vae)) {
    place = {kVaePart, vae_name(original.substr(layout.vae.size()), layout.vae_levels)};
  } else {
    for (size_t i = 0; i < layout.text.size(); ++i) {
      const auto& encoder = layout.family->text_encoders[i];
      if (is_under(original, layout.text[i]))
        place = {encoder.part, text_name(layout, encoder, original.substr(layout.text[i].size()))};
    }
  }
  return place.name.empty() ? std::nullopt : std::optional<LdmPlace>(place);
}

Weights take_part(const Weights& file, const LdmLayout& layout, const std::string& part) {
  Weights taken;
  taken.source = file.source;
  for (const auto& [original, tensor] : file.tensors) {
    const auto place = place_of(layout, original);
    if (place && place->part == part) add(taken, *place, tensor);
    if (!place && part == kUnetPart && original.starts_with(kUNet))
      throw BadInput(file.source + ": tensor " + original + " is no part of the UNet of " +
                     layout.family->name + " that laurel knows; this kind of model is " +
                     "not supported");
  }
  return taken;
}

int64_t pooled_width(const Weights& file, const LdmLayout& layout) {
  if (!layout.family->reads_pooled_text) return 0;
  const auto found = file.tensors.find(layout.text.back() + "text_projection");
  return found != file.tensors.end() && found->second.dim() == 2 ? found->second.size(1) : 0;
}

at::Tensor put_back(const at::Tensor& old, const LdmPlace& place, const Weights& part) {
  std::vector<at::Tensor> values;
  const auto find = [&](const std::string& name) {
    const auto found = part.tensors.find(name);
    if (found != part.tensors.end()) values.push_back(found->second.detach());
  };
  const size_t packed = place.name.find(kPacked);
  if (packed == std::string::npos) {
    find(place.name);
  } else {
    for (const char* head : kHeads)
      find(place.name.substr(0, packed) + head + place.name.substr(packed + kPacked.size()));
  }
  if (values.empty()) return {};
  TORCH_CHECK(packed == std::string::npos || values.size() == 3, "put_back: ", place.name,
              ": expected queries, keys and values");
  const at::Tensor value = values.size() == 1 ? values[0] : at::cat(values);
  const bool transposed = place.name == "text_projection.weight";
  return (transposed ? value.t() : value).to(old.device()).reshape(old.sizes());
}

}  // namespace diffusion
