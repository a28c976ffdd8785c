#include "diffusion/lora/names.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "data/base/error.hpp"
#include "diffusion/naming/ldm_names.hpp"
#include "diffusion/naming/transformer_names.hpp"

namespace diffusion {
namespace {

using data::BadInput;

// Parts of module names that hold an underscore themselves.
constexpr std::string_view kWords[] = {
    "down_blocks", "up_blocks", "mid_block", "transformer_blocks", "time_embedding", "cond_proj",
    "add_embedding", "time_emb_proj", "linear_1", "linear_2", "conv_in", "conv_out",
    "conv_shortcut", "proj_in", "proj_out", "to_q", "to_k", "to_v", "to_out", "input_blocks",
    "in_layers", "middle_block", "output_blocks", "emb_layers", "out_layers", "label_emb",
    "skip_connection", "time_embed", "text_model", "self_attn", "q_proj", "k_proj", "v_proj",
    "out_proj", "text_projection",
    // Of Stable Diffusion 3's transformer.
    "joint_blocks", "x_block", "context_block", "adaLN_modulation", "x_embedder", "t_embedder",
    "y_embedder", "context_embedder", "final_layer", "add_q_proj", "add_k_proj", "add_v_proj",
    "to_add_out", "ff_context", "norm1_context", "time_text_embed", "text_embedder", "pos_embed",
    "norm_out", "timestep_embedder",
    // Of FLUX's.
    "double_blocks", "single_blocks", "single_transformer_blocks", "img_attn", "txt_attn",
    "img_mlp", "txt_mlp", "img_mod", "txt_mod", "img_in", "txt_in", "time_in", "vector_in",
    "guidance_in", "in_layer", "out_layer", "query_norm", "key_norm", "proj_mlp",
    "guidance_embedder"};

struct Prefix {
  std::string_view text;
  const char* part;  // "": told by what follows
  bool flat;         // underscores in place of dots
};
constexpr Prefix kPrefixes[] = {
    {"lora_unet_", kUnetPart, true},
    {"lora_te_", kTextPart, true},
    {"lora_te1_", kTextPart, true},
    {"lora_te2_", kText2Part, true},
    {"lycoris_unet_", kUnetPart, true},
    {"lycoris_te_", kTextPart, true},
    {"lycoris_te1_", kTextPart, true},
    {"lycoris_te2_", kText2Part, true},
    {"lycoris_", "", true},
    {"unet.", kUnetPart, false},
    {"text_encoder.", kTextPart, false},
    {"text_encoder_2.", kText2Part, false},
    {"lora_transformer_", kTransformerPart, true},
    {"transformer.", kTransformerPart, false},
    {"model.diffusion_model.", kUnetPart, false},
    {"diffusion_model.", kUnetPart, false},
    {"base_model.model.", "", false},
    {"", "", false},
};

struct Ending {
  std::string_view text;
  const char* role;
};
constexpr Ending kEndings[] = {
    {".lora_down.weight", "down"},
    {".lora_up.weight", "up"},
    {".lora_mid.weight", "mid"},
    {".lora_A.weight", "down"},
    {".lora_B.weight", "up"},
    {".lora_A.default.weight", "down"},
    {".lora_B.default.weight", "up"},
    {".lora_A.default_0.weight", "down"},
    {".lora_B.default_0.weight", "up"},
    {".lora.down.weight", "down"},
    {".lora.up.weight", "up"},
    {"_lora.down.weight", "down"},
    {"_lora.up.weight", "up"},
    {".lora_linear_layer.down.weight", "down"},
    {".lora_linear_layer.up.weight", "up"},
    {".down.weight", "down"},  // XLabs'
    {".up.weight", "up"},
    {".alpha", "alpha"},
    {".dora_scale", "dora_scale"},
    {".lora_magnitude_vector.weight", "dora_scale"},
    {".lora_magnitude_vector", "dora_scale"},
    {".lora_magnitude_vector.default.weight", "dora_scale"},
    {".hada_w1_a", "hada_w1_a"},
    {".hada_w1_b", "hada_w1_b"},
    {".hada_w2_a", "hada_w2_a"},
    {".hada_w2_b", "hada_w2_b"},
    {".hada_t1", "hada_t1"},
    {".hada_t2", "hada_t2"},
    {".lokr_w1", "lokr_w1"},
    {".lokr_w1_a", "lokr_w1_a"},
    {".lokr_w1_b", "lokr_w1_b"},
    {".lokr_w2", "lokr_w2"},
    {".lokr_w2_a", "lokr_w2_a"},
    {".lokr_w2_b", "lokr_w2_b"},
    {".lokr_t2", "lokr_t2"},
    {".diff", "diff"},
};

struct Foreign {
  std::string_view sign;
  const char* title;
};
// Kinds of adapters, by the ends of their tensors' names.
constexpr Foreign kForeignEndings[] = {
    {".oft_blocks", "OFT or BOFT (LyCORIS)"},
    {".oft_diag", "OFT"},
    {".a1.weight", "GLoRA (LyCORIS)"},
    {".a2.weight", "GLoRA (LyCORIS)"},
    {".b1.weight", "GLoRA (LyCORIS)"},
    {".on_input", "IA3 (LyCORIS)"},
    {".w_norm", "a change of norm layers (LyCORIS)"},
    {".b_norm", "a change of norm layers (LyCORIS)"},
    {".diff_b", "a change of biases (LyCORIS)"},
    {".lora_A.bias", "a LoRA with biases"},
    {".lora_B.bias", "a LoRA with biases"},
    {".hada_w1", "a LoHa of an unknown form"},
};
// Architectures, by how their tensors' names begin.
constexpr Foreign kForeignStarts[] = {
    {"lora_unet_blocks_", "a video or diffusion transformer"},
    {"lora_te3_", "the T5 text encoder of Stable Diffusion 3 or FLUX.1"},
    {"lora_prior_", "Stable Cascade"},
    {"lora_controlnet", "ControlNet"},
};
// A checkpoint's tensors, not an adapter's.
constexpr std::string_view kCheckpointStarts[] = {
    "model.diffusion_model.", "first_stage_model.", "cond_stage_model.",
    "conditioner.embedders.", "down_blocks.",       "up_blocks.",
    "time_embedding.",        "conv_in.",           "text_model.",
    "add_embedding.",         "encoder.",           "decoder."};

[[noreturn]] void refuse_name(const std::string& name, const std::string& source) {
  for (const auto& foreign : kForeignStarts) {
    if (!name.starts_with(foreign.sign)) continue;
    throw BadInput(source + ": a LoRA of " + foreign.title + " (tensor " + name +
                   "); laurel reads those of Stable Diffusion 1, 2, 3, SDXL and FLUX.1");
  }
  for (const auto& foreign : kForeignEndings) {
    if (!name.ends_with(foreign.sign)) continue;
    throw BadInput(source + ": tensor " + name + " is of " + foreign.title +
                   ", which laurel does not read; it reads LoRA, LoHa and LoKr");
  }
  for (const auto& start : kCheckpointStarts) {
    if (!name.starts_with(start)) continue;
    throw BadInput(source + ": expected a LoRA, found a checkpoint's tensor " + name +
                   "; give a whole checkpoint as --model");
  }
  throw BadInput(source + ": expected a LoRA, found tensor " + name +
                 ", a name of no known form (kohya lora_unet_<module>.lora_down.weight, PEFT "
                 "unet.<module>.lora_A.weight, LyCORIS hada_ and lokr_)");
}

std::string without(std::string text, const std::string& piece) {
  const size_t at = text.find(piece);
  return at == std::string::npos ? text : text.erase(at, piece.size());
}

// diffusers' older names: "attn1.processor.to_q" is attn1.to_q; a text encoder's q_proj is "to_q".
std::string modern_module(std::string module, bool text) {
  module = without(module, "processor.");
  if (text) {
    if (module.starts_with("text_model.")) module.erase(0, 11);
    const size_t dot = module.rfind('.');
    const std::string end = module.substr(dot + 1);
    if (end == "to_q" || end == "to_k" || end == "to_v" || end == "to_out")
      module = module.substr(0, dot + 1) + end.substr(3) + "_proj";
  } else if (module.ends_with(".to_out")) {
    module += ".0";
  }
  return module;
}

// The part of a name without one: adapters saved alone.
const char* part_of_module(const std::string& module) {
  const bool text = module.starts_with("text_model.") || module.starts_with("encoder.layers.");
  if (text) return kTextPart;
  const std::string_view starts[] = {"down_blocks.",   "mid_block.", "up_blocks.",
                                     "time_embedding", "conv_in",    "conv_out"};
  const bool unet = is_original_module(module) ||
                    std::any_of(std::begin(starts), std::end(starts),
                                [&](std::string_view start) { return module.starts_with(start); });
  if (unet) return kUnetPart;
  const std::string_view blocks[] = {"transformer_blocks.", "single_transformer_blocks."};
  const bool transformer =
      std::any_of(std::begin(blocks), std::end(blocks),
                  [&](std::string_view start) { return module.starts_with(start); });
  return transformer ? kTransformerPart : "";
}

}  // namespace

bool is_network_part(const std::string& part) {
  return part == kUnetPart || part == kTransformerPart;
}

std::string dotted_module(const std::string& flat) {
  std::string result;
  for (size_t at = 0; at < flat.size();) {
    size_t length = std::min(flat.find('_', at), flat.size()) - at;
    for (const auto word : kWords) {
      const bool here = flat.compare(at, word.size(), word) == 0;
      const size_t end = at + word.size();
      if (here && (end == flat.size() || flat[end] == '_')) length = std::max(length, word.size());
    }
    result += (result.empty() ? "" : ".") + flat.substr(at, length);
    at += length + 1;
  }
  return result;
}

bool is_original_module(const std::string& module) {
  const std::string_view starts[] = {"input_blocks.", "middle_block.", "output_blocks.",
                                     "time_embed.",   "label_emb.",    "out."};
  return std::any_of(std::begin(starts), std::end(starts),
                     [&](std::string_view start) { return module.starts_with(start); });
}

std::string diffusers_module(const std::string& module, int64_t layers_per_block) {
  if (!is_original_module(module)) return module;
  const std::string name = unet_name(module + ".weight", layers_per_block);
  return name.empty() ? module : name.substr(0, name.size() - 7);
}

LoraName parse_lora_name(const std::string& name, const std::string& source) {
  const auto ending = std::find_if(std::begin(kEndings), std::end(kEndings),
                                   [&](const Ending& known) { return name.ends_with(known.text); });
  if (ending == std::end(kEndings)) refuse_name(name, source);
  for (const auto& foreign : kForeignStarts) {
    if (name.starts_with(foreign.sign)) refuse_name(name, source);
  }
  const auto prefix =
      std::find_if(std::begin(kPrefixes), std::end(kPrefixes),
                   [&](const Prefix& known) { return name.starts_with(known.text); });
  if (name.size() < prefix->text.size() + ending->text.size()) refuse_name(name, source);
  std::string module =
      name.substr(prefix->text.size(), name.size() - prefix->text.size() - ending->text.size());
  if (prefix->flat) module = dotted_module(module);
  std::string part = *prefix->part ? prefix->part : part_of_module(module);
  // kohya and ComfyUI call every network a UNet.
  const std::string current = modern_module(module, /*text=*/false);
  if ((part.empty() || part == kUnetPart) && !transformer_rows(current, 0).names.empty())
    part = kTransformerPart;
  if (part.empty() || module.empty()) refuse_name(name, source);
  return {part, modern_module(module, !is_network_part(part)), ending->role};
}

}  // namespace diffusion
