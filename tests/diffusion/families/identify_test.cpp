#include "diffusion/families/identify.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace {

using Shapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

diffusion::ModelKind kind_of(const Shapes& shapes) {
  data::Weights weights{.tensors = {}, .metadata = {}, .source = "test"};
  for (const auto& [name, shape] : shapes) weights.tensors[name] = at::ones(shape);
  return diffusion::identify(weights);
}

std::string detail(const diffusion::ModelKind& kind, const std::string& name) {
  for (const auto& [key, value] : kind.details) {
    if (key == name) return value;
  }
  return "absent";
}

Shapes diffusers_unet(int64_t channels, int64_t context) {
  return {{"conv_in.weight", {320, channels, 3, 3}},
          {"time_embedding.linear_1.weight", {8, 8}},
          {"down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", {4, context}}};
}

TEST(Identify, UNetsByWidthOfTheirText) {
  const auto sd1 = kind_of(diffusers_unet(4, 768));
  EXPECT_EQ(sd1.kind, "UNet of Stable Diffusion 1, diffusers' names");
  EXPECT_EQ(detail(sd1, "cross attention width"), "768");
  EXPECT_NE(detail(sd1, "prediction").find("epsilon"), std::string::npos);
  const auto sd2 = kind_of(diffusers_unet(9, 1024));
  EXPECT_EQ(sd2.kind, "UNet of Stable Diffusion 2, inpainting, diffusers' names");
  EXPECT_NE(detail(sd2, "prediction").find("v_prediction at 768"), std::string::npos);
  auto xl = diffusers_unet(4, 2048);
  xl.push_back({"add_embedding.linear_1.weight", {2, 2}});
  EXPECT_EQ(kind_of(xl).kind, "UNet of SDXL, diffusers' names");
  EXPECT_EQ(kind_of(diffusers_unet(4, 128)).kind,
            "UNet of Stable Diffusion's form, diffusers' names");
}

TEST(Identify, OriginalCheckpoints) {
  const std::string unet = "model.diffusion_model.";
  const auto kind =
      kind_of({{unet + "input_blocks.0.0.weight", {320, 4, 3, 3}},
               {unet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", {4, 768}},
               {"first_stage_model.encoder.conv_in.weight", {1, 3, 3, 3}},
               {"cond_stage_model.transformer.x", {1}},
               {"model_ema.decay", {1}}});
  EXPECT_EQ(kind.kind, "checkpoint of Stable Diffusion 1, original names");
  EXPECT_EQ(detail(kind, "holds"), "UNet, VAE, text encoder");
  EXPECT_NE(detail(kind, "EMA"), "absent");
}

TEST(Identify, TheOtherParts) {
  const auto vae =
      kind_of({{"decoder.conv_in.weight", {64, 4, 3, 3}}, {"decoder.up_blocks.3.x", {1}}});
  EXPECT_EQ(vae.kind, "VAE (AutoencoderKL), diffusers' names");
  EXPECT_EQ(detail(vae, "pixels per latent, a side"), "8");
  const auto deep = kind_of({{"decoder.conv_in.weight", {64, 4, 3, 3}},
                             {"decoder.up_blocks.99.x", {1}}});  // 2^99 is no number of pixels
  EXPECT_EQ(detail(deep, "levels"), "100");
  EXPECT_EQ(detail(deep, "pixels per latent, a side"), "absent");
  const auto text = kind_of({{"text_model.embeddings.token_embedding.weight", {49408, 768}},
                             {"text_model.encoder.layers.11.x", {1}}});
  EXPECT_EQ(text.kind, "CLIP text encoder");
  EXPECT_EQ(detail(text, "text layers"), "12");
  EXPECT_EQ(kind_of({{"layers.0.weight", {1024, 768}}, {"layers.7.weight", {1, 16}}}).kind,
            "aesthetic head (LAION v2, linear layers)");
  EXPECT_EQ(kind_of({{"weight", {1, 768}}, {"bias", {1}}}).kind,
            "aesthetic head (LAION v1, linear)");
  const auto members = kind_of({{"members.0.layers.0.weight", {1024, 768}},
                                {"members.0.layers.7.weight", {1, 16}},
                                {"members.1.layers.0.weight", {1024, 768}}});
  EXPECT_EQ(members.kind, "aesthetic head (LAION v2, linear layers)");
  EXPECT_EQ(detail(members, "members"), "2");
  EXPECT_EQ(kind_of({{"generator", {4}}, {"param.w", {1}}}).kind,
            "laurel's training state (to resume from)");
  EXPECT_EQ(kind_of({{"transformer_blocks.0.x", {1}}}).kind,
            "diffusion transformer: laurel does not read it");
  EXPECT_EQ(kind_of({{"something", {1}}}).kind, "unknown");
}

TEST(Identify, StableDiffusion3AndItsT5) {
  const std::string base = "model.diffusion_model.";
  const auto file = kind_of({{base + "x_embedder.proj.weight", {1536, 16, 2, 2}},
                             {base + "joint_blocks.23.x_block.attn.qkv.weight", {4608, 1536}},
                             {base + "joint_blocks.0.x_block.attn.ln_q.weight", {64}},
                             {"first_stage_model.x", {1}}});
  EXPECT_EQ(file.kind, "checkpoint of Stable Diffusion 3, original names");
  EXPECT_EQ(detail(file, "layers"), "24");
  EXPECT_EQ(detail(file, "width"), "1536");
  EXPECT_EQ(detail(file, "form"), "3.5 large or large turbo");
  EXPECT_EQ(detail(file, "holds"), "transformer, VAE");
  const auto part = kind_of({{"pos_embed.pos_embed", {1, 4, 8}},
                             {"transformer_blocks.0.attn.add_q_proj.weight", {8, 8}},
                             {"transformer_blocks.0.attn2.to_q.weight", {8, 8}}});
  EXPECT_EQ(part.kind, "transformer of Stable Diffusion 3, diffusers' names");
  EXPECT_EQ(detail(part, "form"), "3.5 medium");
  const auto t5 =
      kind_of({{"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", {32, 64}},
               {"encoder.final_layer_norm.weight", {4096}}});
  EXPECT_EQ(t5.kind, "T5 encoder");
  EXPECT_EQ(detail(t5, "text width"), "4096");
  const auto lora =
      kind_of({{"transformer.transformer_blocks.0.attn2.to_k.lora_A.weight", {4, 1536}},
               {"transformer.transformer_blocks.0.attn2.to_k.lora_B.weight", {1536, 4}}});
  EXPECT_EQ(detail(lora, "changes"), "transformer");
  EXPECT_EQ(detail(lora, "made for"), "a transformer, such as Stable Diffusion 3");
}

TEST(Identify, Flux1AndItsKin) {
  const std::string base = "model.diffusion_model.";
  const auto file = kind_of({{base + "img_in.weight", {3072, 64}},
                             {base + "txt_in.weight", {3072, 4096}},
                             {base + "guidance_in.in_layer.weight", {3072, 256}},
                             {base + "double_blocks.18.img_attn.qkv.weight", {9216, 3072}},
                             {base + "single_blocks.37.linear1.weight", {21504, 3072}},
                             {"vae.x", {1}}});
  EXPECT_EQ(file.kind, "checkpoint of FLUX.1, original names");
  EXPECT_EQ(detail(file, "double layers"), "19");
  EXPECT_EQ(detail(file, "single layers"), "38");
  EXPECT_EQ(detail(file, "width"), "3072");
  EXPECT_EQ(detail(file, "text width"), "4096");
  EXPECT_EQ(detail(file, "form"), "dev, or made of it: the guidance is an input");
  EXPECT_EQ(detail(file, "holds"), "transformer, VAE");
  const auto fill = kind_of({{"img_in.weight", {3072, 384}}, {"double_blocks.0.x", {1}}});
  EXPECT_EQ(detail(fill, "form"), "Fill");
  const auto part = kind_of({{"x_embedder.weight", {32, 64}},
                             {"transformer_blocks.1.attn.add_q_proj.weight", {32, 32}},
                             {"single_transformer_blocks.0.proj_mlp.weight", {128, 32}}});
  EXPECT_EQ(part.kind, "transformer of FLUX.1, diffusers' names");
  EXPECT_EQ(detail(part, "double layers"), "2");
  EXPECT_EQ(detail(part, "form"), "schnell: no input of guidance");
  EXPECT_EQ(kind_of({{"double_blocks.0.x", {1}}, {"distilled_guidance_layer.x", {1}}}).kind,
            "transformer of Chroma");
  const auto lora = kind_of({{"lora_unet_single_blocks_0_linear1.lora_down.weight", {4, 3072}},
                             {"lora_unet_single_blocks_0_linear1.lora_up.weight", {21504, 4}}});
  EXPECT_EQ(detail(lora, "changes"), "transformer");
  EXPECT_EQ(detail(lora, "made for"), "FLUX.1");
}

TEST(Identify, LorasWithRankAlphaAndBase) {
  const auto kohya =
      kind_of({{"lora_unet_down_blocks_0_attn2_to_k.lora_down.weight", {16, 768}},
               {"lora_unet_down_blocks_0_attn2_to_k.lora_up.weight", {320, 16}},
               {"lora_unet_down_blocks_0_attn2_to_k.alpha", {}},
               {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", {8, 768}}});
  EXPECT_EQ(kohya.kind, "LoRA, kohya's names");
  EXPECT_EQ(detail(kohya, "rank"), "16, 8");
  EXPECT_EQ(detail(kohya, "alpha"), "1");
  EXPECT_EQ(detail(kohya, "changed layers"), "2");
  EXPECT_EQ(detail(kohya, "changes"), "UNet, text encoder");
  EXPECT_EQ(detail(kohya, "made for"), "Stable Diffusion 1");
  const auto peft = kind_of({{"unet.down_blocks.0.attn2.to_k.lora_A.weight", {4, 2048}}});
  EXPECT_EQ(peft.kind, "LoRA, PEFT's names");
  EXPECT_EQ(detail(peft, "made for"), "SDXL");
  EXPECT_EQ(detail(peft, "alpha"), "not in the file: equal to the rank");
}

TEST(Identify, LycorisWithRankAndBase) {
  const std::string module = "lora_unet_down_blocks_0_attn2_to_k";
  const auto loha = kind_of({{module + ".hada_w1_a", {320, 4}},
                             {module + ".hada_w1_b", {4, 1024}},
                             {module + ".hada_w2_a", {320, 4}},
                             {module + ".hada_w2_b", {4, 1024}},
                             {module + ".alpha", {}}});
  EXPECT_EQ(loha.kind, "LoHa (LyCORIS)");
  EXPECT_EQ(detail(loha, "rank"), "4");
  EXPECT_EQ(detail(loha, "made for"), "Stable Diffusion 2");
  EXPECT_EQ(detail(loha, "changed layers"), "1");
  const auto lokr = kind_of({{module + ".lokr_w1", {8, 8}},
                             {module + ".lokr_w2_a", {40, 6}},
                             {module + ".lokr_w2_b", {6, 96}},
                             {"lora_te_text_model_x.lokr_w1", {2, 2}},
                             {"lora_te_text_model_x.lokr_w2", {4, 4}}});
  EXPECT_EQ(lokr.kind, "LoKr (LyCORIS)");
  EXPECT_EQ(detail(lokr, "rank"), "6, whole");
  EXPECT_EQ(detail(lokr, "made for"), "Stable Diffusion 1");  // 8 x 96
  EXPECT_EQ(detail(lokr, "changes"), "UNet, text encoder");
}

}  // namespace
