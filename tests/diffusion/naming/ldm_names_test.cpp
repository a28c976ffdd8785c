#include "diffusion/naming/ldm_names.hpp"

#include <gtest/gtest.h>

namespace {

using diffusion::current_vae_name;
using diffusion::open_clip_name;
using diffusion::unet_name;
using diffusion::vae_name;

// Names of Stable Diffusion 1.5's file and what diffusers has for them.
TEST(OriginalNames, OfTheUNet) {
  const std::vector<std::pair<std::string, std::string>> names{
      {"time_embed.0.weight", "time_embedding.linear_1.weight"},
      {"time_embed.cond_proj.weight", "time_embedding.cond_proj.weight"},
      {"label_emb.0.2.bias", "add_embedding.linear_2.bias"},
      {"input_blocks.0.0.weight", "conv_in.weight"},
      {"input_blocks.1.0.in_layers.0.weight", "down_blocks.0.resnets.0.norm1.weight"},
      {"input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
       "down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight"},
      {"input_blocks.3.0.op.bias", "down_blocks.0.downsamplers.0.conv.bias"},
      {"input_blocks.4.0.skip_connection.weight", "down_blocks.1.resnets.0.conv_shortcut.weight"},
      {"input_blocks.11.0.out_layers.3.bias", "down_blocks.3.resnets.1.conv2.bias"},
      {"middle_block.0.emb_layers.1.weight", "mid_block.resnets.0.time_emb_proj.weight"},
      {"middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"},
      {"middle_block.2.out_layers.0.bias", "mid_block.resnets.1.norm2.bias"},
      {"output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"},
      {"output_blocks.5.2.conv.weight", "up_blocks.1.upsamplers.0.conv.weight"},
      {"output_blocks.11.1.norm.bias", "up_blocks.3.attentions.2.norm.bias"},
      {"out.2.weight", "conv_out.weight"}};
  for (const auto& [original, ours] : names) EXPECT_EQ(unet_name(original, 2), ours) << original;
  for (const char* strange :
       {"pos_embed", "input_blocks.x", "input_blocks.1.0.new.weight", "input_blocks.1.2.weight",
        "middle_block", "", "input_blocks.-9223372036854775808.0.in_layers.0.weight"})
    EXPECT_EQ(unet_name(strange, 2), "") << strange;
}

TEST(OriginalNames, OfTheVae) {
  const std::vector<std::pair<std::string, std::string>> names{
      {"encoder.conv_in.weight", "encoder.conv_in.weight"},
      {"encoder.down.1.block.0.nin_shortcut.weight",
       "encoder.down_blocks.1.resnets.0.conv_shortcut.weight"},
      {"encoder.down.2.downsample.conv.bias", "encoder.down_blocks.2.downsamplers.0.conv.bias"},
      {"encoder.mid.attn_1.proj_out.weight", "encoder.mid_block.attentions.0.to_out.0.weight"},
      {"encoder.norm_out.bias", "encoder.conv_norm_out.bias"},
      {"decoder.mid.block_2.conv1.weight", "decoder.mid_block.resnets.1.conv1.weight"},
      {"decoder.mid.attn_1.norm.weight", "decoder.mid_block.attentions.0.group_norm.weight"},
      {"decoder.up.3.block.2.norm1.weight", "decoder.up_blocks.0.resnets.2.norm1.weight"},
      {"decoder.up.1.upsample.conv.weight", "decoder.up_blocks.2.upsamplers.0.conv.weight"},
      {"post_quant_conv.bias", "post_quant_conv.bias"}};
  for (const auto& [original, ours] : names) EXPECT_EQ(vae_name(original, 4), ours) << original;
  EXPECT_EQ(vae_name("loss.discriminator.main.0.weight", 4), "");
  EXPECT_EQ(current_vae_name("decoder.mid_block.attentions.0.proj_attn.bias"),
            "decoder.mid_block.attentions.0.to_out.0.bias");
  EXPECT_EQ(current_vae_name("decoder.mid_block.attentions.0.query.weight"),
            "decoder.mid_block.attentions.0.to_q.weight");
  EXPECT_EQ(current_vae_name("decoder.conv_in.bias"), "decoder.conv_in.bias");
}

TEST(OriginalNames, OfOpenClip) {
  EXPECT_EQ(open_clip_name("transformer.resblocks.7.attn.in_proj_bias"),
            "text_model.encoder.layers.7.self_attn.in_proj_bias");
  EXPECT_EQ(open_clip_name("transformer.resblocks.0.mlp.c_proj.weight"),
            "text_model.encoder.layers.0.mlp.fc2.weight");
  EXPECT_EQ(open_clip_name("ln_final.bias"), "text_model.final_layer_norm.bias");
  EXPECT_EQ(open_clip_name("positional_embedding"),
            "text_model.embeddings.position_embedding.weight");
  EXPECT_EQ(open_clip_name("text_projection"), "text_projection.weight");
  EXPECT_EQ(open_clip_name("logit_scale"), "");
}

}  // namespace
