#include "diffusion/naming/mmdit_names.hpp"

#include <gtest/gtest.h>

#include <set>

#include "diffusion/networks/mmdit/mmdit.hpp"

namespace {

using diffusion::mmdit_rows;
using Names = std::vector<std::string>;

TEST(MMDiTNames, ByHand) {
  EXPECT_EQ(mmdit_rows("pos_embed", 3).names, Names{"pos_embed.pos_embed"});
  EXPECT_EQ(mmdit_rows("t_embedder.mlp.2.bias", 3).names,
            Names{"time_text_embed.timestep_embedder.linear_2.bias"});
  EXPECT_EQ(mmdit_rows("joint_blocks.12.context_block.attn.qkv.weight", 24).names,
            (Names{"transformer_blocks.12.attn.add_q_proj.weight",
                   "transformer_blocks.12.attn.add_k_proj.weight",
                   "transformer_blocks.12.attn.add_v_proj.weight"}));
  EXPECT_EQ(mmdit_rows("joint_blocks.0.x_block.attn2.proj", 24).names,
            Names{"transformer_blocks.0.attn2.to_out.0"});
  for (const char* other : {"joint_blocks.x.x_block.attn.qkv.weight", "joint_blocks.1",
                            "joint_blocks.-1.x_block.attn.qkv.weight", "double_blocks.0.img_attn",
                            "joint_blocks.0.x_block.attn", ""})
    EXPECT_TRUE(mmdit_rows(other, 24).names.empty()) << other;
}

TEST(MMDiTNames, OnlyTheLastBlocksTextAndTheEndAreSwapped) {
  EXPECT_TRUE(mmdit_rows("final_layer.adaLN_modulation.1.weight", 24).swapped_halves);
  EXPECT_TRUE(
      mmdit_rows("joint_blocks.23.context_block.adaLN_modulation.1.bias", 24).swapped_halves);
  EXPECT_FALSE(
      mmdit_rows("joint_blocks.22.context_block.adaLN_modulation.1.bias", 24).swapped_halves);
  EXPECT_FALSE(mmdit_rows("joint_blocks.23.x_block.adaLN_modulation.1.bias", 24).swapped_halves);
  EXPECT_FALSE(mmdit_rows("final_layer.linear.weight", 24).swapped_halves);
}

}  // namespace
