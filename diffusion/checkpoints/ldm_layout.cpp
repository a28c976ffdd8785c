#include "diffusion/checkpoints/ldm_layout.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "data/base/error.hpp"
#include "data/base/numbers.hpp"
#include "diffusion/checkpoints/scaled_weights.hpp"
#include "diffusion/families/identify.hpp"
#include "diffusion/naming/ldm_names.hpp"

namespace diffusion {
namespace {

using data::BadInput;
using data::has_prefix;
using data::Weights;

const std::string kUNet = "model.diffusion_model.";
const std::string kProjection = "text_projection.weight";
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
                 ": expected a whole checkpoint of Stable Diffusion 1, 2, XL, 3 or FLUX.1, found " +
                 identify(file).kind + what_to_do);
}

bool has_transformer(const Weights& file) {
  return family_of(file).network_part != std::string(kUnetPart);
}

void check_is_checkpoint(const Weights& file) {
  if (!has_prefix(file, kUNet + "input_blocks.") && !has_transformer(file)) {
    const std::string kind = identify(file).kind;
    if (kind.starts_with("LoRA") || kind.starts_with("LoHa") || kind.starts_with("LoKr"))
      refuse(file, "; give it to --lora beside a model");
    if (kind.starts_with("UNet"))
      refuse(file, "; put it with its config.json into the unet folder of a diffusers model");
    refuse(file, "");
  }
  const ModelFamily& family = family_of(file);
  if (!family.supported) refuse(file, std::string(", which is not supported; ") + family.instead);
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
  if (!encoder.open_clip) {
    return projects(encoder) && name == kProjection ? name : clip_name(name);
  }
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

// The place of a text encoder's tensor that diffusers calls `name`.
LdmPlace text_place(const FamilyEncoder& encoder, const std::string& name) {
  LdmPlace place{.part = encoder.part, .name = name};
  place.transposed = encoder.open_clip && name == kProjection;
  const size_t packed = name.find(kPacked);
  if (packed == std::string::npos) return place;
  for (const char* head : kHeads)
    place.rows.names.push_back(name.substr(0, packed) + head +
                               name.substr(packed + kPacked.size()));
  return place;
}

LdmPlace transformer_place(const LdmLayout& layout, const std::string& name) {
  LdmPlace place{.part = layout.family->network_part,
                 .name = "",
                 .rows = transformer_rows(name, layout.blocks)};
  if (!place.rows.names.empty()) place.name = place.rows.names.front();
  return place;
}

// [shift; scale] -> [scale; shift], or back
at::Tensor with_swapped_halves(const at::Tensor& rows) { return rows.roll(rows.size(0) / 2, 0); }

// The tensors of diffusers' names that `place` stands for, one after the other, in its order of
// rows.
std::vector<at::Tensor> tensors_at(const std::string& source,
                                   const LdmPlace& place,
                                   const at::Tensor& tensor) {
  const int64_t size = tensor.dim() == 0 ? 0 : tensor.size(0);
  const auto counts = row_counts(place.rows, size);
  if (size == 0 || counts.empty() || (place.rows.swapped_halves && size % 2 != 0))
    throw BadInput(source + ": " + place.name + ": expected " +
                   (place.rows.swapped_halves      ? "shift and scale of one size"
                    : place.rows.names.size() == 3 ? "queries, keys and values of one size"
                                                   : "queries, keys, values and an MLP's rows"));
  if (place.rows.swapped_halves) return {with_swapped_halves(tensor)};
  return tensor.split_with_sizes(counts);
}

// Adds the tensor or tensors that `place` stands for.
void add(Weights& part, const LdmPlace& place, const at::Tensor& tensor) {
  if (place.rows.names.size() > 1 || place.rows.swapped_halves) {
    const auto parts = tensors_at(part.source, place, tensor);
    for (size_t i = 0; i < parts.size(); ++i) part.tensors[place.rows.names[i]] = parts[i];
    return;
  }
  const bool transposed = place.transposed && tensor.dim() == 2;
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
  if (has_transformer(file)) {
    layout.network = first_prefix(file, {kUNet});
    layout.blocks = data::count_numbered(file, layout.network + layout.family->blocks);
  } else {
    layout.unet_layers = layers_a_level(file);
  }
  layout.vae = first_prefix(file, {"first_stage_model.", "vae."});
  layout.vae_levels = data::count_numbered(file, layout.vae + "decoder.up.");
  for (const auto& encoder : layout.family->text_encoders) {
    layout.text.push_back(first_prefix(file, {encoder.prefix}));
    if (encoder.drops_last_layer) layout.text_layers = used_text_layers(file, layout.text.back());
  }
  if (const auto& t5 = layout.family->t5_encoder) layout.t5 = first_prefix(file, {t5->prefix});
  return layout;
}

std::optional<LdmPlace> place_of(const LdmLayout& layout, const std::string& original) {
  LdmPlace place{.part = kUnetPart, .name = ""};
  if (is_under(original, layout.vae)) {
    place = {.part = kVaePart,
             .name = vae_name(original.substr(layout.vae.size()), layout.vae_levels)};
  } else if (is_under(original, layout.t5)) {
    place = {.part = layout.family->t5_encoder->part, .name = original.substr(layout.t5.size())};
  } else if (original.starts_with(kUNet) && layout.blocks == 0) {
    place.name = unet_name(original.substr(kUNet.size()), layout.unet_layers);
  } else if (layout.blocks > 0 && original.starts_with(layout.network)) {
    place = transformer_place(layout, original.substr(layout.network.size()));
  } else {
    for (size_t i = 0; i < layout.text.size(); ++i) {
      const auto& encoder = layout.family->text_encoders[i];
      if (is_under(original, layout.text[i]))
        place =
            text_place(encoder, text_name(layout, encoder, original.substr(layout.text[i].size())));
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
    const bool of_network = part == layout.family->network_part && original.starts_with(kUNet) &&
                            !stands_beside_weight(original);
    if (!place && of_network)
      throw BadInput(file.source + ": tensor " + original + " is no part of the " +
                     (part == kUnetPart ? "UNet" : part) + " of " + layout.family->name +
                     " that laurel knows; this kind of model is " + "not supported");
  }
  return taken;
}

bool holds_part(const LdmLayout& layout, const std::string& part) {
  if (part == kVaePart) return !layout.vae.empty();
  if (layout.family->t5_encoder && part == layout.family->t5_encoder->part)
    return !layout.t5.empty();
  const auto& encoders = layout.family->text_encoders;
  for (size_t i = 0; i < encoders.size(); ++i) {
    if (part == encoders[i].part) return !layout.text[i].empty();
  }
  return part == layout.family->network_part;
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
  const bool several = place.rows.names.size() > 1;
  if (!several) find(place.name);
  for (const auto& name : place.rows.names) {
    if (several) find(name);
  }
  if (values.empty()) return {};
  TORCH_CHECK(!several || values.size() == place.rows.names.size(), "put_back: ", place.name,
              ": expected the rows of all its layers");
  const at::Tensor value = values.size() == 1 ? values[0] : at::cat(values);
  const at::Tensor own = place.transposed            ? value.t()
                         : place.rows.swapped_halves ? with_swapped_halves(value)
                                                     : value;
  return own.to(old.device()).reshape(old.sizes());
}

}  // namespace diffusion
