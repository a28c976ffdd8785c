#include "diffusion/naming/flux_names.hpp"

#include <gtest/gtest.h>

namespace {

using diffusion::flux_module;
using diffusion::flux_rows;
using Names = std::vector<std::string>;

TEST(FluxNames, ByHand) {
  EXPECT_EQ(flux_rows("img_in.weight").names, Names{"x_embedder.weight"});
  EXPECT_EQ(flux_rows("guidance_in.out_layer.bias").names,
            Names{"time_text_embed.guidance_embedder.linear_2.bias"});
  EXPECT_EQ(flux_rows("double_blocks.12.txt_attn.qkv.weight").names,
            (Names{"transformer_blocks.12.attn.add_q_proj.weight",
                   "transformer_blocks.12.attn.add_k_proj.weight",
                   "transformer_blocks.12.attn.add_v_proj.weight"}));
  EXPECT_EQ(flux_rows("double_blocks.0.txt_attn.norm.key_norm.scale").names,
            Names{"transformer_blocks.0.attn.norm_added_k.weight"});
  EXPECT_EQ(flux_rows("single_blocks.3.norm.query_norm.scale").names,
            Names{"single_transformer_blocks.3.attn.norm_q.weight"});
  EXPECT_EQ(flux_rows("single_blocks.3.linear2").names,
            Names{"single_transformer_blocks.3.proj_out"});
  for (const char* other : {"double_blocks.x.img_mod.lin", "double_blocks.1", "single_blocks.-1.x",
                            "joint_blocks.0.x_block.attn.qkv", "double_blocks.0.img_attn", ""})
    EXPECT_TRUE(flux_rows(other).names.empty()) << other;
}

TEST(FluxNames, TheSingleBlocksFirstLayerHasAnMlpsRowsToo) {
  const auto rows = flux_rows("single_blocks.0.linear1.bias");
  ASSERT_EQ(rows.names.size(), 4u);
  EXPECT_EQ(rows.names[3], "single_transformer_blocks.0.proj_mlp.bias");
  EXPECT_EQ(diffusion::row_counts(rows, 70), (std::vector<int64_t>{10, 10, 10, 40}));
  EXPECT_TRUE(diffusion::row_counts(rows, 71).empty());
  EXPECT_EQ(diffusion::row_counts(flux_rows("double_blocks.0.img_attn.qkv"), 6),
            (std::vector<int64_t>{2, 2, 2}));
  EXPECT_TRUE(diffusion::row_counts({}, 6).empty());
}

TEST(FluxNames, OnlyTheEndIsSwapped) {
  EXPECT_TRUE(flux_rows("final_layer.adaLN_modulation.1.weight").swapped_halves);
  EXPECT_FALSE(flux_rows("final_layer.linear.weight").swapped_halves);
  EXPECT_FALSE(flux_rows("double_blocks.1.txt_mod.lin.weight").swapped_halves);
}

TEST(FluxNames, AModuleAndItsOriginalNameEachOther) {
  for (const char* module :
       {"x_embedder", "norm_out.linear", "transformer_blocks.4.attn.add_k_proj",
        "transformer_blocks.4.ff.net.0.proj", "single_transformer_blocks.4.proj_mlp",
        "single_transformer_blocks.4.norm.linear"}) {
    const auto names = flux_rows(flux_module(module)).names;
    EXPECT_NE(std::find(names.begin(), names.end(), module), names.end()) << module;
  }
  EXPECT_EQ(flux_module("transformer_blocks.4.attn.to_k"), "double_blocks.4.img_attn.qkv");
  EXPECT_EQ(flux_module("transformer_blocks.4.attn2.to_k"), "");
  EXPECT_EQ(flux_module("down_blocks.0"), "");
}

TEST(TransformerNames, AreThoseOfEveryArchitecture) {
  EXPECT_EQ(diffusion::transformer_rows("joint_blocks.0.x_block.mlp.fc1", 2).names,
            Names{"transformer_blocks.0.ff.net.0.proj"});
  EXPECT_EQ(diffusion::transformer_rows("double_blocks.0.img_mlp.0", 2).names,
            Names{"transformer_blocks.0.ff.net.0.proj"});
  EXPECT_TRUE(diffusion::transformer_rows("input_blocks.0.0", 2).names.empty());
}

}  // namespace
