#include "diffusion/naming/mmdit_names.hpp"

namespace diffusion {
namespace {

const std::vector<OriginalModule>& mmdit_modules() {
  static const std::vector<OriginalModule> modules = {
      {"x_embedder.proj", {"pos_embed.proj"}},
      {"context_embedder", {"context_embedder"}},
      {"t_embedder.mlp.0", {"time_text_embed.timestep_embedder.linear_1"}},
      {"t_embedder.mlp.2", {"time_text_embed.timestep_embedder.linear_2"}},
      {"y_embedder.mlp.0", {"time_text_embed.text_embedder.linear_1"}},
      {"y_embedder.mlp.2", {"time_text_embed.text_embedder.linear_2"}},
      {"final_layer.adaLN_modulation.1", {"norm_out.linear"}},
      {"final_layer.linear", {"proj_out"}}};
  return modules;
}

const std::vector<OriginalModule>& joint_modules() {
  static const std::vector<OriginalModule> modules = {
      {"x_block.adaLN_modulation.1", {"norm1.linear"}},
      {"context_block.adaLN_modulation.1", {"norm1_context.linear"}},
      {"x_block.attn.qkv", {"attn.to_q", "attn.to_k", "attn.to_v"}},
      {"context_block.attn.qkv", {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"}},
      {"x_block.attn.ln_q", {"attn.norm_q"}},
      {"x_block.attn.ln_k", {"attn.norm_k"}},
      {"context_block.attn.ln_q", {"attn.norm_added_q"}},
      {"context_block.attn.ln_k", {"attn.norm_added_k"}},
      {"x_block.attn.proj", {"attn.to_out.0"}},
      {"context_block.attn.proj", {"attn.to_add_out"}},
      {"x_block.attn2.qkv", {"attn2.to_q", "attn2.to_k", "attn2.to_v"}},
      {"x_block.attn2.ln_q", {"attn2.norm_q"}},
      {"x_block.attn2.ln_k", {"attn2.norm_k"}},
      {"x_block.attn2.proj", {"attn2.to_out.0"}},
      {"x_block.mlp.fc1", {"ff.net.0.proj"}},
      {"x_block.mlp.fc2", {"ff.net.2"}},
      {"context_block.mlp.fc1", {"ff_context.net.0.proj"}},
      {"context_block.mlp.fc2", {"ff_context.net.2"}}};
  return modules;
}

constexpr std::string_view kPositionTable = "pos_embed";
constexpr std::string_view kJointBlocks = "joint_blocks.";
constexpr std::string_view kFinalModulation = "final_layer.adaLN_modulation.1";
constexpr std::string_view kTextModulation = "context_block.adaLN_modulation.1";

}  // namespace

OriginalRows mmdit_rows(const std::string& original, int64_t blocks) {
  if (original == kPositionTable) return {.names = {"pos_embed.pos_embed"}};
  const ModuleAndEnd whole = module_and_end(original);
  if (!original.starts_with(kJointBlocks)) {
    return {.names = names_in(mmdit_modules(), whole, ""),
            .swapped_halves = whole.module == kFinalModulation};
  }
  const NumberedName block = numbered_name(original, kJointBlocks);
  if (block.number < 0) return {};
  const ModuleAndEnd inner = module_and_end(block.rest);
  return {.names = names_in(joint_modules(), inner,
                            "transformer_blocks." + std::to_string(block.number) + "."),
          .swapped_halves = block.number == blocks - 1 && inner.module == kTextModulation};
}

}  // namespace diffusion
