#include "rewards/clip/layouts.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <string_view>

#include "data/base/error.hpp"

namespace rewards {
namespace {

constexpr std::string_view kVisionProbe = "vision_model.embeddings.patch_embedding.weight",
                           kOpenProbe = "visual.conv1.weight";

struct Rename {
  std::string_view from, to;
};
// Suffixes of names inside a block.
constexpr Rename kBlock[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"attn.out_proj.", "self_attn.out_proj."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
};
constexpr Rename kVision[] = {
    {"class_embedding", "embeddings.class_embedding"},
    {"conv1.weight", "embeddings.patch_embedding.weight"},
    {"positional_embedding", "embeddings.position_embedding.weight"},
    {"ln_pre.", "pre_layrnorm."},
    {"ln_post.", "post_layernorm."},
    {"transformer.resblocks.", "encoder.layers."},
};
constexpr Rename kText[] = {
    {"token_embedding.weight", "embeddings.token_embedding.weight"},
    {"positional_embedding", "embeddings.position_embedding.weight"},
    {"ln_final.", "final_layer_norm."},
    {"transformer.resblocks.", "encoder.layers."},
};
// Not weights: sizes in OpenAI's archive, buffers of old files.
constexpr std::string_view kIgnored[] = {"input_resolution", "context_length", "vocab_size",
                                         "attn_mask", "position_ids"};

std::string_view after(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : std::string_view();
}

bool is_ignored(std::string_view name) {
  for (const auto ending : kIgnored) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

// "": no rule fits.
template <size_t N>
std::string renamed(std::string_view name, const Rename (&rules)[N]) {
  for (const auto& [from, to] : rules) {
    if (name.starts_with(from)) return std::string(to) + std::string(name.substr(from.size()));
  }
  return "";
}

// Splits the packed projection of a block and renames its other tensors.
void add_block(data::Weights& out, const std::string& name, const at::Tensor& tensor) {
  const size_t place = name.find("attn.in_proj_");
  if (place == std::string::npos) {
    for (const auto& [from, to] : kBlock) {
      const size_t found = name.find(from);
      if (found == std::string::npos) continue;
      std::string result = name;
      out.tensors[result.replace(found, from.size(), to)] = tensor;
      return;
    }
    out.tensors[name] = tensor;
    return;
  }
  const std::string kind = name.substr(place + 13);  // weight, bias
  constexpr std::array kParts = {"q_proj.", "k_proj.", "v_proj."};
  const int64_t width = tensor.size(0) / 3;
  for (size_t i = 0; i < kParts.size(); ++i) {
    out.tensors[name.substr(0, place) + "self_attn." + kParts[i] + kind] =
        tensor.narrow(0, static_cast<int64_t>(i) * width, width);
  }
}

template <size_t N>
void add_tower(data::Weights& out,
               std::string_view name,
               const at::Tensor& tensor,
               const std::string& tower,
               const Rename (&rules)[N]) {
  const std::string inner = renamed(name, rules);
  if (inner.empty())
    out.tensors["(unknown) " + std::string(name)] = tensor;
  else
    add_block(out, tower + inner, tensor);
}

// One tensor of OpenCLIP's layout; `text`: its name without "text.".
void add_open_clip(data::Weights& out, std::string_view name, const at::Tensor& tensor) {
  if (name.starts_with("text.")) name = name.substr(5);
  if (name == "logit_scale") {
    out.tensors["logit_scale"] = tensor.reshape({});
  } else if (name == "visual.proj") {
    out.tensors["visual_projection.weight"] = tensor.t();
  } else if (name == "text_projection") {
    out.tensors["text_projection.weight"] = tensor.t();
  } else if (name == "text_projection.weight") {
    out.tensors["text_projection.weight"] = tensor;
  } else if (const auto vision = after(name, "visual."); !vision.empty()) {
    add_tower(out, vision, tensor, "vision_model.", kVision);
  } else {
    add_tower(out, name, tensor, "text_model.", kText);
  }
}

// The prefix of all names.
std::string prefix_of(const data::Weights& weights) {
  for (const std::string prefix :
       {"", "module.", "model.", "mps.model.", "clip.", "module.model.", "model.clip."}) {
    if (data::has(weights, prefix + std::string(kVisionProbe)) ||
        data::has(weights, prefix + std::string(kOpenProbe)))
      return prefix;
  }
  std::string some;
  int shown = 0;
  for (const auto& [name, tensor] : weights.tensors) {
    if (++shown > 3) break;
    some += (some.empty() ? "" : ", ") + name;
  }
  throw data::BadInput(weights.source + ": expected a CLIP (" + std::string(kVisionProbe) + " or " +
                       std::string(kOpenProbe) + "), found " +
                       std::to_string(weights.tensors.size()) + " other tensors (" + some +
                       ", ...); `laurel inspect` tells what it is");
}

int64_t vision_heads(int64_t width, int64_t layers) {
  struct Known {
    int64_t width, layers, heads;
  };
  constexpr Known kKnown[] = {{1280, 32, 16}, {1408, 40, 16}, {1664, 48, 16}};  // H, g, bigG
  for (const auto& known : kKnown) {
    if (known.width == width && known.layers == layers) return known.heads;
  }
  return std::max<int64_t>(1, width / 64);
}

const at::Tensor& tensor_of(const NamedClip& clip, const std::string& name) {
  const auto found = clip.weights.tensors.find(name);
  if (found == clip.weights.tensors.end())
    throw data::BadInput(clip.weights.source + ": a " + name_of(clip.layout) + " CLIP without " +
                         name + ": the file is not whole");
  return found->second;
}

void infer_encoder(const NamedClip& clip,
                   const std::string& tower,
                   int64_t width,
                   nn::EncoderConfig& config) {
  config.hidden_size = width;
  config.num_hidden_layers = data::count_numbered(clip.weights, tower + "encoder.layers.");
  config.intermediate_size = tensor_of(clip, tower + "encoder.layers.0.mlp.fc1.weight").size(0);
  config.num_attention_heads = tower == "vision_model."
                                   ? vision_heads(width, config.num_hidden_layers)
                                   : std::max<int64_t>(1, width / 64);
}

}  // namespace

const char* name_of(ClipLayout layout) {
  switch (layout) {
    case ClipLayout::kHuggingFace:
      return "Hugging Face";
    case ClipLayout::kOpenClip:
      return "OpenCLIP";
    case ClipLayout::kCustomText:
      return "OpenCLIP (text.)";
  }
  return "";
}

NamedClip rename_clip(const data::Weights& weights) {
  const std::string prefix = prefix_of(weights);
  NamedClip clip;
  clip.weights.source = weights.source;
  clip.weights.metadata = weights.metadata;
  const bool hugging_face = data::has(weights, prefix + std::string(kVisionProbe));
  if (!hugging_face)
    clip.layout = data::has_prefix(weights, prefix + "text.transformer.") ? ClipLayout::kCustomText
                                                                          : ClipLayout::kOpenClip;
  for (const auto& [full, tensor] : weights.tensors) {
    clip.from_openai |= full == "input_resolution";
    const std::string_view name =
        full.starts_with(prefix) ? std::string_view(full).substr(prefix.size()) : full;
    if (is_ignored(name)) continue;
    if (hugging_face)
      clip.weights.tensors[std::string(name)] = tensor;
    else
      add_open_clip(clip.weights, name, tensor);
  }
  return clip;
}

ClipConfig infer_clip_config(const NamedClip& clip, nn::Activation act) {
  ClipConfig config;
  const at::Tensor& patches = tensor_of(clip, std::string(kVisionProbe));
  const at::Tensor& places = tensor_of(clip, "vision_model.embeddings.position_embedding.weight");
  const at::Tensor& words = tensor_of(clip, "text_model.embeddings.token_embedding.weight");
  config.vision.patch_size = patches.size(2);
  const double side = std::sqrt(static_cast<double>(places.size(0) - 1));
  config.vision.image_size = static_cast<int64_t>(std::lround(side)) * patches.size(2);
  infer_encoder(clip, "vision_model.", patches.size(0), config.vision.encoder);
  infer_encoder(clip, "text_model.", words.size(1), config.text.encoder);
  config.vision.encoder.hidden_act = config.text.encoder.hidden_act = act;
  config.text.vocab_size = words.size(0);
  config.text.max_position_embeddings =
      tensor_of(clip, "text_model.embeddings.position_embedding.weight").size(0);
  config.text.bos_token_id = words.size(0) - 2;
  config.text.eos_token_id = words.size(0) - 1;
  config.text.pad_token_id = 0;
  config.projection_dim = tensor_of(clip, "visual_projection.weight").size(0);
  config.text.projection_dim = config.projection_dim;
  return config;
}

}  // namespace rewards
