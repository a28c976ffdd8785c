#include "diffusion/naming/flux_names.hpp"

namespace diffusion {
namespace {

const std::vector<OriginalModule>& flux_modules() {
  static const std::vector<OriginalModule> modules = {
      {"img_in", {"x_embedder"}},
      {"txt_in", {"context_embedder"}},
      {"time_in.in_layer", {"time_text_embed.timestep_embedder.linear_1"}},
      {"time_in.out_layer", {"time_text_embed.timestep_embedder.linear_2"}},
      {"guidance_in.in_layer", {"time_text_embed.guidance_embedder.linear_1"}},
      {"guidance_in.out_layer", {"time_text_embed.guidance_embedder.linear_2"}},
      {"vector_in.in_layer", {"time_text_embed.text_embedder.linear_1"}},
      {"vector_in.out_layer", {"time_text_embed.text_embedder.linear_2"}},
      {"final_layer.adaLN_modulation.1", {"norm_out.linear"}},
      {"final_layer.linear", {"proj_out"}}};
  return modules;
}

const std::vector<OriginalModule>& double_modules() {
  static const std::vector<OriginalModule> modules = {
      {"img_mod.lin", {"norm1.linear"}},
      {"txt_mod.lin", {"norm1_context.linear"}},
      {"img_attn.qkv", {"attn.to_q", "attn.to_k", "attn.to_v"}},
      {"txt_attn.qkv", {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"}},
      {"img_attn.proj", {"attn.to_out.0"}},
      {"txt_attn.proj", {"attn.to_add_out"}},
      {"img_mlp.0", {"ff.net.0.proj"}},
      {"img_mlp.2", {"ff.net.2"}},
      {"txt_mlp.0", {"ff_context.net.0.proj"}},
      {"txt_mlp.2", {"ff_context.net.2"}},
      // XLabs' names in LoRAs, without "processor.".
      {"qkv_lora1", {"attn.to_q", "attn.to_k", "attn.to_v"}},
      {"qkv_lora2", {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"}},
      {"proj_lora1", {"attn.to_out.0"}},
      {"proj_lora2", {"attn.to_add_out"}}};
  return modules;
}

const std::vector<OriginalModule>& single_modules() {
  static const std::vector<OriginalModule> modules = {
      {"modulation.lin", {"norm.linear"}},
      {"linear1", {"attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"}},
      {"linear2", {"proj_out"}},
      {"qkv", {"attn.to_q", "attn.to_k", "attn.to_v"}},  // XLabs'
      {"proj", {"proj_out"}}};
  return modules;
}

// A norm's only tensor: "<original>.scale" there, "<name>.weight" in diffusers.
struct OriginalScale {
  std::string_view original;
  const char* name;
};
constexpr OriginalScale kDoubleScales[] = {
    {"img_attn.norm.query_norm.scale", "attn.norm_q.weight"},
    {"img_attn.norm.key_norm.scale", "attn.norm_k.weight"},
    {"txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"},
    {"txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"}};
constexpr OriginalScale kSingleScales[] = {{"norm.query_norm.scale", "attn.norm_q.weight"},
                                           {"norm.key_norm.scale", "attn.norm_k.weight"}};

template <size_t N>
OriginalRows block_rows(const NumberedName& name,
                        const char* blocks,
                        const std::vector<OriginalModule>& modules,
                        const OriginalScale (&scales)[N]) {
  const std::string before = blocks + std::to_string(name.number) + ".";
  for (const auto& scale : scales) {
    if (name.rest == scale.original) return {.names = {before + scale.name}};
  }
  OriginalRows rows{.names = names_in(modules, module_and_end(name.rest), before)};
  if (rows.names.size() == 4) rows.shares = {1, 1, 1, 4};  // of linear1
  return rows;
}

// The module of the table that has diffusers' `name` among its own; "": none.
std::string original_of(const std::vector<OriginalModule>& modules, std::string_view name) {
  for (const auto& known : modules) {
    for (const char* own : known.names) {
      if (own != nullptr && name == own) return std::string(known.original);
    }
  }
  return "";
}

}  // namespace

std::string flux_module(const std::string& module) {
  const NumberedName of_double = numbered_name(module, "transformer_blocks."),
                     of_single = numbered_name(module, "single_transformer_blocks.");
  const std::string original = of_double.number >= 0 ? original_of(double_modules(), of_double.rest)
                               : of_single.number >= 0
                                   ? original_of(single_modules(), of_single.rest)
                                   : original_of(flux_modules(), module);
  if (original.empty() || (of_double.number < 0 && of_single.number < 0)) return original;
  return of_double.number >= 0
             ? "double_blocks." + std::to_string(of_double.number) + "." + original
             : "single_blocks." + std::to_string(of_single.number) + "." + original;
}

OriginalRows flux_rows(const std::string& original) {
  const NumberedName of_double = numbered_name(original, "double_blocks."),
                     of_single = numbered_name(original, "single_blocks.");
  if (of_double.number >= 0)
    return block_rows(of_double, "transformer_blocks.", double_modules(), kDoubleScales);
  if (of_single.number >= 0)
    return block_rows(of_single, "single_transformer_blocks.", single_modules(), kSingleScales);
  const ModuleAndEnd whole = module_and_end(original);
  return {.names = names_in(flux_modules(), whole, ""),
          .swapped_halves = whole.module == "final_layer.adaLN_modulation.1"};
}

}  // namespace diffusion
