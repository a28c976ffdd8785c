#include "diffusion/naming/mmdit_names.hpp"

#include <array>
#include <charconv>
#include <string_view>

namespace diffusion {
namespace {

// A module of the original code and diffusers' modules that its rows are.
struct MMDiTModule {
  std::string_view original;
  std::array<const char*, 3> names;  // the last two nullptr: one module
};

constexpr MMDiTModule kWholeModules[] = {
    {"x_embedder.proj", {"pos_embed.proj", nullptr, nullptr}},
    {"context_embedder", {"context_embedder", nullptr, nullptr}},
    {"t_embedder.mlp.0", {"time_text_embed.timestep_embedder.linear_1", nullptr, nullptr}},
    {"t_embedder.mlp.2", {"time_text_embed.timestep_embedder.linear_2", nullptr, nullptr}},
    {"y_embedder.mlp.0", {"time_text_embed.text_embedder.linear_1", nullptr, nullptr}},
    {"y_embedder.mlp.2", {"time_text_embed.text_embedder.linear_2", nullptr, nullptr}},
    {"final_layer.adaLN_modulation.1", {"norm_out.linear", nullptr, nullptr}},
    {"final_layer.linear", {"proj_out", nullptr, nullptr}}};

constexpr MMDiTModule kBlockModules[] = {
    {"x_block.adaLN_modulation.1", {"norm1.linear", nullptr, nullptr}},
    {"context_block.adaLN_modulation.1", {"norm1_context.linear", nullptr, nullptr}},
    {"x_block.attn.qkv", {"attn.to_q", "attn.to_k", "attn.to_v"}},
    {"context_block.attn.qkv", {"attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"}},
    {"x_block.attn.ln_q", {"attn.norm_q", nullptr, nullptr}},
    {"x_block.attn.ln_k", {"attn.norm_k", nullptr, nullptr}},
    {"context_block.attn.ln_q", {"attn.norm_added_q", nullptr, nullptr}},
    {"context_block.attn.ln_k", {"attn.norm_added_k", nullptr, nullptr}},
    {"x_block.attn.proj", {"attn.to_out.0", nullptr, nullptr}},
    {"context_block.attn.proj", {"attn.to_add_out", nullptr, nullptr}},
    {"x_block.attn2.qkv", {"attn2.to_q", "attn2.to_k", "attn2.to_v"}},
    {"x_block.attn2.ln_q", {"attn2.norm_q", nullptr, nullptr}},
    {"x_block.attn2.ln_k", {"attn2.norm_k", nullptr, nullptr}},
    {"x_block.attn2.proj", {"attn2.to_out.0", nullptr, nullptr}},
    {"x_block.mlp.fc1", {"ff.net.0.proj", nullptr, nullptr}},
    {"x_block.mlp.fc2", {"ff.net.2", nullptr, nullptr}},
    {"context_block.mlp.fc1", {"ff_context.net.0.proj", nullptr, nullptr}},
    {"context_block.mlp.fc2", {"ff_context.net.2", nullptr, nullptr}}};

constexpr std::string_view kPositionTable = "pos_embed";
constexpr std::string_view kJointBlocks = "joint_blocks.";
constexpr std::string_view kFinalModulation = "final_layer.adaLN_modulation.1";
constexpr std::string_view kTextModulation = "context_block.adaLN_modulation.1";

// "attn.qkv" of "attn.qkv.weight", and what follows it.
struct ModuleAndEnd {
  std::string_view module, end;
};
ModuleAndEnd cut(std::string_view name) {
  for (const std::string_view end : {".weight", ".bias"}) {
    if (name.ends_with(end)) return {name.substr(0, name.size() - end.size()), end};
  }
  return {name, ""};
}

template <size_t N>
std::vector<std::string> names_of(const MMDiTModule (&modules)[N],
                                  const ModuleAndEnd& original,
                                  const std::string& before) {
  std::vector<std::string> names;
  for (const auto& known : modules) {
    if (known.original != original.module) continue;
    for (const char* name : known.names) {
      if (name != nullptr) names.push_back(before + name + std::string(original.end));
    }
  }
  return names;
}

}  // namespace

MMDiTRows mmdit_rows(const std::string& original, int64_t blocks) {
  if (original == kPositionTable) return {.names = {"pos_embed.pos_embed"}};
  const ModuleAndEnd whole = cut(original);
  if (!original.starts_with(kJointBlocks)) {
    return {.names = names_of(kWholeModules, whole, ""),
            .swapped_halves = whole.module == kFinalModulation};
  }
  const std::string_view rest = std::string_view(original).substr(kJointBlocks.size());
  int64_t block = 0;
  const auto [end, fault] = std::from_chars(rest.data(), rest.data() + rest.size(), block);
  if (fault != std::errc() || block < 0 || end == rest.data() + rest.size() || *end != '.')
    return {};
  const ModuleAndEnd inner = cut(rest.substr(static_cast<size_t>(end - rest.data()) + 1));
  return {
      .names = names_of(kBlockModules, inner, "transformer_blocks." + std::to_string(block) + "."),
      .swapped_halves = block == blocks - 1 && inner.module == kTextModulation};
}

}  // namespace diffusion
