#include "diffusion/naming/ldm_names.hpp"

#include <charconv>
#include <utility>
#include <vector>

namespace diffusion {
namespace {

using Renames = std::vector<std::pair<std::string_view, std::string_view>>;

// `text` with the first start that fits replaced; "" when none does.
std::string with_start(const std::string& text, const Renames& renames) {
  for (const auto& [from, to] : renames) {
    if (text.starts_with(from)) return std::string(to) + text.substr(from.size());
  }
  return "";
}

// Takes "12." off the front of `text`; false when there is no number, or a negative one.
bool take_number(std::string& text, int64_t& number) {
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc() || *end != '.' || number < 0) return false;
  text.erase(0, static_cast<size_t>(end - text.data()) + 1);
  return true;
}

bool take_start(std::string& text, std::string_view start) {
  if (!text.starts_with(start)) return false;
  text.erase(0, start.size());
  return true;
}

std::string numbered(const std::string& before, int64_t number, const std::string& after) {
  return before + std::to_string(number) + after;
}

std::string unet_resnet(const std::string& rest) {
  static const Renames parts{
      {"in_layers.0.", "norm1."},          {"in_layers.2.", "conv1."},
      {"emb_layers.1.", "time_emb_proj."}, {"out_layers.0.", "norm2."},
      {"out_layers.3.", "conv2."},         {"skip_connection.", "conv_shortcut."}};
  return with_start(rest, parts);
}

// A residual block ("0.in_layers...") or an attention ("1.transformer_blocks...") of `block`.
std::string unet_layer(const std::string& block, int64_t layer, int64_t place, std::string rest) {
  if (place == 0) {
    const std::string name = unet_resnet(rest);
    return name.empty() ? "" : numbered(block + ".resnets.", layer, "." + name);
  }
  const bool attention = rest.starts_with("norm.") || rest.starts_with("proj_") ||
                         rest.starts_with("transformer_blocks.");
  return attention ? numbered(block + ".attentions.", layer, "." + rest) : "";
}

// "<index>.<place>.<rest>" after "input_blocks."
std::string unet_down(std::string text, int64_t layers) {
  int64_t index = 0, place = 0;
  if (!take_number(text, index) || !take_number(text, place)) return "";
  if (index == 0) return place == 0 ? "conv_in." + text : "";
  const int64_t level = (index - 1) / (layers + 1), layer = (index - 1) % (layers + 1);
  const std::string block = numbered("down_blocks.", level, "");
  if (layer < layers) return unet_layer(block, layer, place, text);
  return take_start(text, "op.") ? block + ".downsamplers.0.conv." + text : "";
}

// "<index>.<place>.<rest>" after "output_blocks."
std::string unet_up(std::string text, int64_t layers) {
  int64_t index = 0, place = 0;
  if (!take_number(text, index) || !take_number(text, place)) return "";
  const std::string block = numbered("up_blocks.", index / (layers + 1), "");
  if (place > 0 && take_start(text, "conv.")) return block + ".upsamplers.0.conv." + text;
  return unet_layer(block, index % (layers + 1), place, text);
}

std::string unet_middle(std::string text) {
  int64_t place = 0;
  if (!take_number(text, place)) return "";
  return unet_layer("mid_block", place / 2, place % 2, text);
}

std::string vae_resnet(const std::string& rest) {
  const std::string shortcut = with_start(rest, {{"nin_shortcut.", "conv_shortcut."}});
  return shortcut.empty() ? rest : shortcut;
}

std::string vae_middle(const std::string& side, const std::string& text) {
  static const Renames parts{{"block_1.", "resnets.0."},
                             {"block_2.", "resnets.1."},
                             {"attn_1.norm.", "attentions.0.group_norm."},
                             {"attn_1.q.", "attentions.0.to_q."},
                             {"attn_1.k.", "attentions.0.to_k."},
                             {"attn_1.v.", "attentions.0.to_v."},
                             {"attn_1.proj_out.", "attentions.0.to_out.0."}};
  const std::string name = with_start(text, parts);
  return name.empty() ? "" : side + "mid_block." + vae_resnet(name);
}

// "<level>.<rest>" after "encoder.down." or "decoder.up."; `blocks` is "encoder.down_blocks." or
// "decoder.up_blocks.", whose levels count from `first` on by `step`.
std::string vae_level(std::string text, const std::string& blocks, int64_t first, int64_t step) {
  int64_t level = 0, layer = 0;
  if (!take_number(text, level)) return "";
  const std::string block = numbered(blocks, first + step * level, ".");
  if (take_start(text, "block."))
    return take_number(text, layer) ? numbered(block + "resnets.", layer, "." + vae_resnet(text))
                                    : "";
  static const Renames samplers{{"downsample.", "downsamplers.0."}, {"upsample.", "upsamplers.0."}};
  const std::string sampler = with_start(text, samplers);
  return sampler.empty() ? "" : block + sampler;
}

}  // namespace

std::string unet_name(const std::string& original, int64_t layers_per_block) {
  static const Renames whole{{"time_embed.0.", "time_embedding.linear_1."},
                             {"time_embed.2.", "time_embedding.linear_2."},
                             {"time_embed.cond_proj.", "time_embedding.cond_proj."},
                             {"label_emb.0.0.", "add_embedding.linear_1."},
                             {"label_emb.0.2.", "add_embedding.linear_2."},
                             {"out.0.", "conv_norm_out."},
                             {"out.2.", "conv_out."}};
  std::string rest = original;
  if (take_start(rest, "input_blocks.")) return unet_down(rest, layers_per_block);
  if (take_start(rest, "output_blocks.")) return unet_up(rest, layers_per_block);
  if (take_start(rest, "middle_block.")) return unet_middle(rest);
  return with_start(original, whole);
}

std::string vae_name(const std::string& original, int64_t levels) {
  for (const char* side : {"encoder.", "decoder."}) {
    std::string rest = original;
    if (!take_start(rest, side)) continue;
    if (take_start(rest, "mid.")) return vae_middle(side, rest);
    if (take_start(rest, "down.")) return vae_level(rest, "encoder.down_blocks.", 0, 1);
    if (take_start(rest, "up.")) return vae_level(rest, "decoder.up_blocks.", levels - 1, -1);
    const std::string end = with_start(rest, {{"norm_out.", "conv_norm_out."}});
    if (!end.empty()) return side + end;
    return rest.starts_with("conv_in.") || rest.starts_with("conv_out.") ? original : "";
  }
  return original.starts_with("quant_conv.") || original.starts_with("post_quant_conv.") ? original
                                                                                         : "";
}

std::string open_clip_name(const std::string& name) {
  static const Renames whole{
      {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
      {"token_embedding.", "text_model.embeddings.token_embedding."},
      {"ln_final.", "text_model.final_layer_norm."},
      {"text_projection", "text_projection.weight"}};
  static const Renames parts{{"ln_1.", "layer_norm1."},
                             {"ln_2.", "layer_norm2."},
                             {"attn.out_proj.", "self_attn.out_proj."},
                             {"mlp.c_fc.", "mlp.fc1."},
                             {"mlp.c_proj.", "mlp.fc2."},
                             {"attn.in_proj_", "self_attn.in_proj_"}};
  std::string rest = name;
  int64_t layer = 0;
  if (!take_start(rest, "transformer.resblocks.")) return with_start(name, whole);
  if (!take_number(rest, layer)) return "";
  const std::string part = with_start(rest, parts);
  return part.empty() ? "" : numbered("text_model.encoder.layers.", layer, "." + part);
}

std::string current_vae_name(const std::string& name) {
  static const Renames parts{
      {"query.", "to_q."}, {"key.", "to_k."}, {"value.", "to_v."}, {"proj_attn.", "to_out.0."}};
  const size_t layer = name.find(".attentions.0.");
  if (layer == std::string::npos) return name;
  const size_t part = layer + 14;
  const std::string renamed = with_start(name.substr(part), parts);
  return renamed.empty() ? name : name.substr(0, part) + renamed;
}

}  // namespace diffusion
