#include "diffusion/networks/unet/unet.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/base/json.hpp"
#include "data/device/memory.hpp"
#include "data/train/optimizers.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/lora/adapters.hpp"
#include "diffusion/networks/unet/forward.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/tiny/pipeline.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Network;
using diffusion::UNet;

const fs::path kGolden = golden::folder();

// Largest difference over the largest value.
double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found - expected).abs().max().item<double>() / expected.abs().max().item<double>();
}

UNet tiny_unet() {
  auto generator = at::detail::createCPUGenerator(1);
  return diffusion::make_unet(tests::tiny_unet_config(), generator);
}

class UNetGolden : public testing::TestWithParam<const char*> {};

// What is read beside the text, of the networks that do.
diffusion::ExtraConditions added_of(const data::Weights& golden) {
  const auto optional = [&](const char* name) {
    return data::has(golden, name) ? golden.tensors.at(name) : at::Tensor();
  };
  return {.text_embeds = optional("text_embeds"),
          .time_ids = optional("time_ids"),
          .timestep_cond = optional("timestep_cond"),
          .reward = {}};
}

TEST_P(UNetGolden, GradientsOfALoraArePeft) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("unet_" + kind + ".safetensors"));
  const auto lora = data::read_safetensors(kGolden / "unet_lora.safetensors");
  Network unet = diffusion::load_unet(kGolden / ("unet_" + kind));
  auto generator = at::detail::createCPUGenerator(1);
  diffusion::attach_lora(unet, {.rank = 2, .alpha = 3}, generator);
  const auto params = diffusion::lora_parameters(unet);
  for (const auto& param : params)
    param.value.detach().copy_(lora.tensors.at(kind + "." + param.name));
  const at::Tensor out = diffusion::forward(unet, golden.tensors.at("x"), golden.tensors.at("t"),
                                            golden.tensors.at("context"), added_of(golden));
  EXPECT_LE(relative_error(out.detach(), lora.tensors.at(kind + ".out")), 1e-5);
  (out * golden.tensors.at("loss_weights")).sum().backward();
  double largest = 0, error = 0;
  for (const auto& param : params) {
    const at::Tensor& expected = lora.tensors.at(kind + ".grad." + param.name);
    largest = std::max(largest, expected.abs().max().item<double>());
    error = std::max(error, (param.value.grad() - expected).abs().max().item<double>());
  }
  ::golden::expect_agreement("UNet, gradients of the LoRA", error / largest, 1e-5);
}

TEST_P(UNetGolden, OutputAndGradientsAreDiffusers) {
  const std::string kind = GetParam();
  const auto golden = data::read_safetensors(kGolden / ("unet_" + kind + ".safetensors"));
  UNet unet = diffusion::load_unet(kGolden / ("unet_" + kind));
  const auto params = train::parameters_of(unet, "");
  const at::Tensor x = golden.tensors.at("x").clone().requires_grad_(true);
  const at::Tensor context = golden.tensors.at("context").clone().requires_grad_(true);
  const at::Tensor out =
      diffusion::unet_forward(unet, x, golden.tensors.at("t"), context, added_of(golden));
  ::golden::expect_agreement("UNet, output", relative_error(out, golden.tensors.at("out")), 1e-5);
  (out * golden.tensors.at("loss_weights")).sum().backward();
  ::golden::expect_agreement("UNet, gradient of x",
                             relative_error(x.grad(), golden.tensors.at("grad_x")), 1e-5);
  EXPECT_LE(relative_error(context.grad(), golden.tensors.at("grad_context")), 1e-5);
  const at::Tensor& to_k = unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight;
  EXPECT_LE(relative_error(to_k.grad(), golden.tensors.at("grad_to_k")), 2e-5);
  for (const auto& param : params) EXPECT_TRUE(param.value.grad().defined()) << param.name;
}

INSTANTIATE_TEST_SUITE_P(Kinds, UNetGolden, testing::Values("sd1", "sd2", "sdxl", "lcm", "ip2p"));

TEST(UNet, KeysOfAFixedContextGiveTheSameOutput) {
  const UNet unet = tiny_unet();
  const at::Tensor x = at::randn({2, 4, 8, 8}), context = at::randn({2, 3, 8}), t = at::arange(2);
  const auto keys = diffusion::context_keys(unet, context);
  EXPECT_EQ(keys.size(), 4u);  // one each: down, middle, two on the way up
  EXPECT_TRUE(at::equal(diffusion::unet_forward(unet, x, t, keys),
                        diffusion::unet_forward(unet, x, t, context)));
}

// The gradients of every trained tensor, with or without checkpointing, and what they cost.
struct TrainedPass {
  at::Tensor output;
  std::vector<at::Tensor> gradients;
  int64_t peak = 0;  // bytes
};
TrainedPass trained_pass(bool checkpointing, bool full, at::ScalarType type) {
  Network unet = tiny_unet();
  for_each_tensor(unet, "", [type](const std::string&, at::Tensor& t) { t = t.to(type); });
  auto generator = at::detail::createCPUGenerator(2);
  if (!full)
    diffusion::attach_lora(unet, {.rank = 2, .targets = {"to_q", "to_v", "conv1"}}, generator);
  const auto params = full ? train::parameters_of(unet, "") : diffusion::lora_parameters(unet);
  for (const auto& param : params) {
    const at::NoGradGuard no_grad;
    if (!full) param.value.normal_(0, 0.1, generator);
    if (!full) param.value.set_data(param.value.to(type));
  }
  diffusion::set_gradient_checkpointing(unet, checkpointing);
  const auto noise = [&](at::IntArrayRef shape) {
    return at::empty(shape, at::kFloat).normal_(0, 1, generator).to(type);
  };
  const at::Tensor x = noise({2, 4, 16, 16}), context = noise({2, 3, 8});
  TrainedPass result;
  result.peak = data::peak_tensor_bytes([&] {
    const at::Tensor out = diffusion::forward(unet, x, at::arange(2), context);
    out.square().sum().backward();
    result.output = out.detach();
  });
  for (const auto& param : params) {
    EXPECT_TRUE(param.value.grad().defined()) << param.name;
    result.gradients.push_back(param.value.grad());
  }
  return result;
}

TEST(UNet, CheckpointingGivesTheSameGradientsBitForBitWithLessMemory) {
  for (const bool full : {false, true}) {
    const TrainedPass plain = trained_pass(false, full, at::kFloat),
                      recomputed = trained_pass(true, full, at::kFloat);
    EXPECT_TRUE(at::equal(plain.output, recomputed.output));
    ASSERT_EQ(plain.gradients.size(), recomputed.gradients.size());
    for (size_t i = 0; i < plain.gradients.size(); ++i)
      EXPECT_TRUE(at::equal(plain.gradients[i], recomputed.gradients[i])) << i;
    EXPECT_LT(recomputed.peak, 0.7 * static_cast<double>(plain.peak));
  }
}

TEST(UNet, InferenceWritesOverItsOwnValuesOnly) {
  const UNet unet = tiny_unet();
  const at::Tensor x = at::randn({2, 4, 8, 8}), context = at::randn({2, 3, 8}), t = at::arange(2);
  const at::Tensor x_before = x.clone(), context_before = context.clone();
  const at::Tensor with_graph = diffusion::unet_forward(unet, x, t, context);
  const auto keys = diffusion::context_keys(unet, context);
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(at::equal(diffusion::unet_forward(unet, x, t, context), with_graph));
  EXPECT_TRUE(at::equal(diffusion::unet_forward(unet, x, t, keys), with_graph));
  EXPECT_TRUE(at::equal(diffusion::unet_forward(unet, x, t, keys), with_graph));
  EXPECT_TRUE(at::equal(x, x_before));
  EXPECT_TRUE(at::equal(context, context_before));
}

TEST(UNet, SavedAndLoadedIsTheSameNetwork) {
  UNet unet = tiny_unet();
  const fs::path folder = tests::fresh_folder("saved");
  diffusion::save_unet(folder, unet, at::kFloat);
  UNet loaded = diffusion::load_unet(folder);
  std::map<std::string, at::Tensor> tensors;
  for_each_tensor(unet, "", [&](const std::string& name, at::Tensor& t) { tensors[name] = t; });
  size_t count = 0;
  for_each_tensor(loaded, "", [&](const std::string& name, at::Tensor& t) {
    EXPECT_TRUE(at::equal(t, tensors.at(name))) << name;
    ++count;
  });
  EXPECT_EQ(count, tensors.size());
}

TEST(UNet, HalfPrecisionFileOfTheVariantNameIsRead) {
  UNet unet = tiny_unet();
  const fs::path folder = tests::fresh_folder("fp16");
  diffusion::save_unet(folder, unet, at::kHalf);
  fs::rename(folder / "diffusion_pytorch_model.safetensors",
             folder / "diffusion_pytorch_model.fp16.safetensors");
  const UNet loaded = diffusion::load_unet(folder);
  EXPECT_EQ(loaded.conv_in.weight.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(loaded.conv_in.weight, unet.conv_in.weight.to(at::kHalf).to(at::kFloat)));
}

// Weights that are converted once give, bit for bit, what weights that are converted at each use
// do.
TEST(UNet, InTheTypeOfItsProductsItIsTheSame) {
  const at::NoGradGuard no_gradient;
  const UNet unet = tiny_unet();
  const at::Tensor x = at::ones({1, 4, 8, 8}), t = at::ones({1}), context = at::ones({1, 3, 8});
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const at::Tensor expected = diffusion::unet_forward(unet, x, t, context);
  const UNet typed = diffusion::with_compute_dtype(unet, at::kBFloat16);
  const at::Tensor got = diffusion::unet_forward(typed, x, t, context);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_TRUE(at::equal(got, expected));
  EXPECT_FALSE(at::equal(got.to(at::kFloat), diffusion::unet_forward(unet, x, t, context)));
  EXPECT_EQ(typed.conv_in.weight.scalar_type(), at::kBFloat16);
  EXPECT_EQ(typed.conv_norm_out.weight.scalar_type(), at::kFloat);
  EXPECT_EQ(unet.conv_in.weight.scalar_type(), at::kFloat);
}

TEST(UNet, EveryLayerThatMayCarryALoraIsVisitedOnceAndMatters) {
  UNet unet = tiny_unet();
  std::set<std::string> names;
  const at::Tensor x = at::randn({1, 4, 8, 8}), context = at::randn({1, 3, 8}),
                   t = at::full({1}, 7);
  const at::Tensor before = diffusion::unet_forward(unet, x, t, context);
  diffusion::for_each_adaptable_layer(unet,
                                      {[&](const std::string& name, nn::Linear& layer) {
                                         EXPECT_TRUE(names.insert(name).second) << name;
                                         if (!name.ends_with("attn1.to_q")) return;
                                         layer.lora.down = at::randn({2, layer.weight.size(1)});
                                         layer.lora.up = at::ones({layer.weight.size(0), 2});
                                       },
                                       [&](const std::string& name, nn::Conv2d&) {
                                         EXPECT_TRUE(names.insert(name).second) << name;
                                       }});
  EXPECT_TRUE(names.contains("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0"));
  EXPECT_TRUE(names.contains("mid_block.attentions.0.proj_in"));
  EXPECT_TRUE(names.contains("up_blocks.0.upsamplers.0.conv"));
  EXPECT_GT((diffusion::unet_forward(unet, x, t, context) - before).abs().max().item<double>(),
            1e-6);
}

TEST(UNet, RefusesWrongShapes) {
  const UNet unet = tiny_unet();
  const at::Tensor x = at::randn({2, 4, 8, 8}), context = at::randn({2, 3, 8}), t = at::arange(2);
  EXPECT_THROW(diffusion::unet_forward(unet, at::randn({2, 3, 8, 8}), t, context), c10::Error);
  EXPECT_THROW(diffusion::unet_forward(unet, x, at::arange(3), context), c10::Error);
  EXPECT_THROW(diffusion::unet_forward(unet, x, t, at::randn({2, 3, 9})), c10::Error);
  EXPECT_THROW(diffusion::unet_forward(unet, x, t, at::randn({1, 3, 8})), c10::Error);
  EXPECT_THROW(diffusion::unet_forward(unet, x, t, diffusion::ContextKeys{}), c10::Error);
}

TEST(UNet, AddedConditionsAreAskedForOfTheRightShape) {
  auto generator = at::detail::createCPUGenerator(1);
  auto config = tests::tiny_unet_config();
  config.time_cond_proj_dim = 6;
  config.addition_time_embed_dim = 2;
  config.projection_class_embeddings_input_dim = 17;  // 5 + 6 x 2
  UNet unet = diffusion::make_unet(config, generator);
  const at::Tensor x = at::randn({2, 4, 8, 8}), context = at::randn({2, 3, 8}), t = at::arange(2);
  const diffusion::ExtraConditions good{.text_embeds = at::randn({2, 5}),
                                        .time_ids = at::ones({2, 6}),
                                        .timestep_cond = at::ones({2, 6}),
                                        .reward = {}};
  const at::Tensor out = diffusion::unet_forward(unet, x, t, context, good);
  for (const auto member :
       {&diffusion::ExtraConditions::text_embeds, &diffusion::ExtraConditions::time_ids,
        &diffusion::ExtraConditions::timestep_cond}) {
    auto other = good;
    other.*member = good.*member + 1;
    EXPECT_FALSE(at::equal(diffusion::unet_forward(unet, x, t, context, other), out));
    for (const at::Tensor& wrong : {at::Tensor(), at::ones({1, 6}), at::ones({2, 4})}) {
      other.*member = wrong;
      EXPECT_THROW(diffusion::unet_forward(unet, x, t, context, other), c10::Error);
    }
  }
  const fs::path folder = tests::fresh_folder("saved");
  diffusion::save_unet(folder, unet, at::kFloat);
  EXPECT_TRUE(
      at::equal(diffusion::unet_forward(diffusion::load_unet(folder), x, t, context, good), out));
}

TEST(GuidanceEmbedding, IsDiffusers) {
  const auto golden = data::read_safetensors(kGolden / "unet_lcm.safetensors");
  const at::Tensor& expected = golden.tensors.at("timestep_cond");
  const at::Tensor found = diffusion::guidance_embedding(golden.tensors.at("w"), expected.size(1));
  EXPECT_LE((found - expected).abs().max().item<double>(), 1e-3);  // sines of angles up to 7000
}

TEST(GuidanceEmbedding, ByHand) {
  const at::Tensor e = diffusion::guidance_embedding(at::full({1}, 0.002), 4);  // rates 1 and 1e-4
  EXPECT_NEAR(e[0][0].item<double>(), std::sin(2.0), 1e-6);
  EXPECT_NEAR(e[0][1].item<double>(), std::sin(2e-4), 1e-8);
  EXPECT_NEAR(e[0][2].item<double>(), std::cos(2.0), 1e-6);
  EXPECT_NEAR(e[0][3].item<double>(), std::cos(2e-4), 1e-7);
}

TEST(TimestepEmbedding, ByHand) {
  const at::Tensor t = at::full({1}, 2);
  const at::Tensor flipped = diffusion::timestep_embedding(t, 4, true, 0.0);  // rates 1 and 0.01
  const at::Tensor expected =
      at::tensor({std::cos(2.0f), std::cos(0.02f), std::sin(2.0f), std::sin(0.02f)});
  EXPECT_TRUE(at::allclose(flipped[0], expected, 1e-6));
  const at::Tensor plain = diffusion::timestep_embedding(t, 4, false, 1.0);  // rates 1 and 1e-4
  EXPECT_NEAR(plain[0][0].item<double>(), std::sin(2.0), 1e-6);
  EXPECT_NEAR(plain[0][1].item<double>(), std::sin(2e-4), 1e-8);
}

// What load_unet says to a config.json with one key changed.
std::string refusal(const std::string& key, const nlohmann::json& value) {
  UNet unet = tiny_unet();
  const fs::path folder = tests::fresh_folder("refusal");
  diffusion::save_unet(folder, unet, at::kFloat);
  auto object = data::read_json(folder / "config.json");
  object[key] = value;
  data::write_file(folder / "config.json", data::to_text(object));
  try {
    diffusion::load_unet(folder);
  } catch (const data::BadInput& error) {
    return error.what();
  }
  return "";
}

TEST(UNetConfig, NamesWhatIsNotSupported) {
  EXPECT_EQ(refusal("time_cond_proj_dim", nullptr), "");
  EXPECT_EQ(refusal("only_cross_attention", false), "");
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"time_cond_proj_dim", 7},
           {"addition_embed_type", "text_time"},
           {"addition_embed_type", "text"},
           {"addition_time_embed_dim", 8},
           {"projection_class_embeddings_input_dim", 48},
           {"class_embed_type", "timestep"},
           {"only_cross_attention", true},
           {"mid_block_type", "UNetMidBlock2D"},
           {"made_up", 1},
           {"attention_head_dim", {2, 2, 2}},
           {"attention_head_dim", 3},
           {"norm_num_groups", 5},
           {"norm_num_groups", 0},
           {"block_out_channels", nlohmann::json::array()},
           {"block_out_channels", "wide"},
           {"cross_attention_dim", {8, 8}},
           {"down_block_types", {"AttnDownBlock2D", "DownBlock2D"}},
           {"_class_name", "UNet2DModel"}}) {
    EXPECT_NE(refusal(key, value).find(key), std::string::npos)
        << key << ": " << refusal(key, value);
  }
}

TEST(UNetConfig, WeightsOfAnotherConfigAreRefused) {
  EXPECT_NE(refusal("cross_attention_dim", 16).find("expected shape"), std::string::npos);
  EXPECT_NE(refusal("time_cond_proj_dim", 256).find("time_embedding.cond_proj.weight"),
            std::string::npos);
  EXPECT_NE(refusal("layers_per_block", 2).find("resnets.1"), std::string::npos);
  EXPECT_NE(refusal("up_block_types", {"UpBlock2D", "UpBlock2D"}), "");
}

TEST(LoadUNet, SaysWhatAFolderHoldsInstead) {
  const auto message = [](const fs::path& folder) -> std::string {
    try {
      diffusion::load_unet(folder);
    } catch (const data::BadInput& error) {
      return error.what();
    }
    return "";
  };
  const fs::path folder = tests::fresh_folder("holds");
  EXPECT_NE(message(folder / "absent").find("no such file"), std::string::npos);
  diffusion::write_unet_config(folder / "config.json", tests::tiny_unet_config());
  EXPECT_NE(message(folder).find("incomplete"), std::string::npos);
  data::write_file(folder / "diffusion_pytorch_model.bin", "x");
  EXPECT_NE(message(folder).find("zip archive"), std::string::npos);
  data::write_file(folder / "config.json", "{");
  EXPECT_NE(message(folder).find("JSON"), std::string::npos);
}

}  // namespace
