#include "diffusion/lora/forms.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/base/error.hpp"
#include "diffusion/lora/names.hpp"
#include "tests/support/refusal.hpp"

namespace {

using diffusion::make_change;
using Roles = std::map<std::string, at::Tensor>;

at::Tensor matrix(std::vector<float> values, int64_t rows) {
  return at::tensor(values).view({rows, -1});
}

void expect_name(const std::string& name,
                 const std::string& part,
                 const std::string& module,
                 const std::string& role) {
  const auto parsed = diffusion::parse_lora_name(name, "f");
  EXPECT_EQ(parsed.part, part) << name;
  EXPECT_EQ(parsed.module, module) << name;
  EXPECT_EQ(parsed.role, role) << name;
}

TEST(LoraNames, OfEveryForm) {
  const std::string q = "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q";
  expect_name(
      "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
      "unet", q, "down");
  expect_name("unet." + q + ".lora_B.weight", "unet", q, "up");
  expect_name("unet." + q + ".lora.up.weight", "unet", q, "up");
  expect_name(
      "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
      "unet", q, "down");
  expect_name("base_model.model." + q + ".lora_A.weight", "unet", q, "down");
  expect_name(
      "unet.mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up."
      "weight",
      "unet", "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0", "up");
  expect_name("lora_unet_up_blocks_1_resnets_0_time_emb_proj.alpha", "unet",
              "up_blocks.1.resnets.0.time_emb_proj", "alpha");
  expect_name("lora_unet_input_blocks_4_1_transformer_blocks_0_ff_net_0_proj.hada_w1_a", "unet",
              "input_blocks.4.1.transformer_blocks.0.ff.net.0.proj", "hada_w1_a");
  expect_name("lora_te1_text_model_encoder_layers_3_self_attn_out_proj.lokr_w2", "text_encoder",
              "encoder.layers.3.self_attn.out_proj", "lokr_w2");
  expect_name("lora_te2_text_model_encoder_layers_3_mlp_fc1.lora_up.weight", "text_encoder_2",
              "encoder.layers.3.mlp.fc1", "up");
  expect_name("text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight",
              "text_encoder", "encoder.layers.0.self_attn.out_proj", "up");
  expect_name("lycoris_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_q.lokr_w1", "unet",
              q, "lokr_w1");
  expect_name("lycoris_text_model_encoder_layers_3_mlp_fc1.hada_w1_a", "text_encoder",
              "encoder.layers.3.mlp.fc1", "hada_w1_a");
  expect_name("text_encoder_2.encoder.layers.0.mlp.fc2.lora_linear_layer.down.weight",
              "text_encoder_2", "encoder.layers.0.mlp.fc2", "down");
  expect_name("transformer.transformer_blocks.0.attn.to_out.0.lora_A.weight", "transformer",
              "transformer_blocks.0.attn.to_out.0", "down");
  expect_name("lora_unet_joint_blocks_0_context_block_attn_qkv.alpha", "transformer",
              "joint_blocks.0.context_block.attn.qkv", "alpha");
  expect_name("lora_unet_single_blocks_7_modulation_lin.lora_down.weight", "transformer",
              "single_blocks.7.modulation.lin", "down");
  expect_name("lora_transformer_single_transformer_blocks_7_proj_mlp.lora_up.weight", "transformer",
              "single_transformer_blocks.7.proj_mlp", "up");
  expect_name("lora_unet_guidance_in_in_layer.alpha", "transformer", "guidance_in.in_layer",
              "alpha");
  expect_name("double_blocks.0.processor.qkv_lora2.up.weight", "transformer",
              "double_blocks.0.qkv_lora2", "up");
  expect_name("single_blocks.0.processor.proj_lora.down.weight", "transformer",
              "single_blocks.0.proj", "down");
  expect_name("diffusion_model.txt_in.lora_A.weight", "transformer", "txt_in", "down");
  expect_name("lora_transformer_transformer_blocks_12_ff_context_net_0_proj.lora_up.weight",
              "transformer", "transformer_blocks.12.ff_context.net.0.proj", "up");
}

TEST(LoraNames, OthersAreRefusedByName) {
  const auto expect = [](const std::string& name, const std::string& part) {
    const std::string line = refusal([&] { diffusion::parse_lora_name(name, "f"); });
    EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(line.find("f: "), 0u) << line;
  };
  expect("lora_unet_blocks_0_img_attn_proj.lora_down.weight", "a video or diffusion transformer");
  expect("lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_up.weight", "T5");
  expect("lora_unet_mid_block_x.oft_blocks", "OFT");
  expect("lora_unet_mid_block_x.b1.weight", "GLoRA");
  expect("lora_unet_mid_block_x.diff_b", "biases");
  expect("model.diffusion_model.input_blocks.0.0.weight", "a checkpoint's tensor");
  expect("other.lora_A.weight", "no known form");
}

TEST(LoraNames, OfTheOriginalCode) {
  EXPECT_EQ(diffusion::diffusers_module("input_blocks.4.1.proj_in", 2),
            "down_blocks.1.attentions.0.proj_in");
  EXPECT_EQ(diffusion::diffusers_module("middle_block.1.proj_in", 2),
            "mid_block.attentions.0.proj_in");
  EXPECT_EQ(diffusion::diffusers_module("up_blocks.1.x", 2), "up_blocks.1.x");
}

TEST(LoraChange, LowRankByHand) {
  const Roles roles{
      {"down", matrix({1.f, 2.f}, 1)}, {"up", matrix({3.f, 5.f}, 2)}, {"alpha", at::tensor(0.5f)}};
  const auto change = make_change(roles, 7.0, "f");  // the file's own alpha wins
  EXPECT_EQ(change.scale, 0.5);
  EXPECT_TRUE(at::equal(diffusion::dense_change(change), matrix({1.5f, 3.f, 2.5f, 5.f}, 2)));
  EXPECT_EQ(diffusion::change_rank(change), 1);
  Roles bare = roles;
  bare.erase("alpha");
  EXPECT_EQ(make_change(bare, 7.0, "f").scale, 7);
  EXPECT_EQ(make_change(bare, {}, "f").scale, 1);
}

TEST(LoraChange, HadamardAndKroneckerByHand) {
  const at::Tensor one = matrix({1.f, 2.f}, 1), two = matrix({3.f, 5.f}, 2);
  const auto loha = make_change({{"hada_w1_a", two},
                                 {"hada_w1_b", one},
                                 {"hada_w2_a", two},
                                 {"hada_w2_b", one},
                                 {"alpha", at::tensor(2.f)}},
                                {}, "f");
  EXPECT_TRUE(at::equal(diffusion::dense_change(loha), matrix({18.f, 72.f, 50.f, 200.f}, 2)));
  const Roles whole{{"lokr_w1", one}, {"lokr_w2", two}, {"alpha", at::tensor(9.f)}};
  const auto lokr = make_change(whole, {}, "f");
  EXPECT_EQ(lokr.scale, 1);  // two whole factors: whatever the alpha
  EXPECT_TRUE(at::equal(diffusion::dense_change(lokr), matrix({3.f, 6.f, 5.f, 10.f}, 2)));
  EXPECT_EQ(diffusion::change_shape(lokr), (std::vector<int64_t>{2, 2}));
  Roles parts = whole;
  parts.erase("lokr_w2");
  parts["lokr_w2_a"] = at::ones({3, 2});
  parts["lokr_w2_b"] = at::ones({2, 4, 3, 3});
  const auto convolution = make_change(parts, {}, "f");
  EXPECT_EQ(convolution.scale, 4.5);
  EXPECT_EQ(diffusion::change_shape(convolution), (std::vector<int64_t>{3, 8, 3, 3}));
  EXPECT_EQ(diffusion::dense_change(convolution).sizes().vec(),
            diffusion::change_shape(convolution));
}

TEST(LoraChange, WrongTensorsAreNamed) {
  const at::Tensor down = at::ones({2, 3}), up = at::ones({4, 2});
  const auto expect = [](const Roles& roles, const std::string& part) {
    const std::string line = refusal([&] { make_change(roles, {}, "f: unet.x"); });
    EXPECT_NE(line.find(part), std::string::npos) << line;
    EXPECT_EQ(line.find("f: unet.x"), 0u) << line;
  };
  expect({{"down", down}}, "'up' is missing beside 'down'");
  expect({{"up", up}}, "'down' is missing");
  expect({{"alpha", at::tensor(1.f)}}, "has an alpha and no weights");
  expect({{"down", down}, {"up", up}, {"alpha", down}}, "alpha: expected one number");
  expect({{"down", down}, {"up", at::ones({4, 3})}}, "expected one rank, found 2 and 3");
  expect({{"down", down / 0}, {"up", up}}, "'down' holds NaN or infinite");
  expect({{"down", down}, {"up", up}, {"dora_scale", up}}, "a DoRA");
  expect({{"hada_w1_a", up}, {"hada_w1_b", down}}, "'hada_w2_a' is missing");
  expect({{"lokr_w1", up}}, "'lokr_w2_a' is missing");
}

TEST(LoraChange, FactorsOfOtherFormsAreNamed) {
  const at::Tensor down = at::ones({2, 3}), up = at::ones({4, 2});
  const auto expect = [](const Roles& roles, const std::string& part) {
    const std::string line = refusal([&] { make_change(roles, {}, "f: unet.x"); });
    EXPECT_NE(line.find(part), std::string::npos) << line;
  };
  expect({{"lokr_w1", at::ones({3})}, {"lokr_w2", up}}, "'lokr_w1': expected a matrix, found [3]");
  expect({{"lokr_w1", up}, {"lokr_w2", at::ones({3})}}, "'lokr_w2': expected 2 or 4 axes");
  expect({{"lokr_w1", up}, {"lokr_w2_a", at::ones({4})}, {"lokr_w2_b", down}},
         "'lokr_w2_a': expected a matrix, found [4]");
  expect({{"lokr_w1_a", at::ones({4})}, {"lokr_w1_b", down}, {"lokr_w2", up}},
         "'lokr_w1_a': expected a matrix, found [4]");
  expect({{"lokr_w1", up}, {"lokr_w2_a", up}, {"lokr_w2_b", down}, {"lokr_t2", up}},
         "'lokr_t2': expected 4 axes");
  expect({{"down", down}, {"up", up}, {"mid", at::ones({2, 2})}}, "'mid': expected 4 axes");
  expect({{"hada_w1_a", up},
          {"hada_w1_b", at::ones({2, 3, 2, 2})},
          {"hada_w2_a", up},
          {"hada_w2_b", at::ones({2, 3, 3, 3})}},
         "of different sizes");
  // Some kilobytes that would make more than a gigabyte.
  expect({{"down", at::ones({1, 20000, 1, 1})},
          {"up", at::ones({1, 20000, 1, 1})},
          {"mid", at::ones({20000, 1, 1, 1})}},
         "more values than a layer has");
}

}  // namespace
