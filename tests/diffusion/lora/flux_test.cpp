// LoRAs of FLUX.1: names of every writer, fused layers both ways.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/fused.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/lora/write.hpp"
#include "diffusion/networks/network_files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::LoraChange;
using diffusion::LowRank;
using Tensors = std::map<std::string, at::Tensor>;

constexpr int64_t kWidth = 32;  // of the golden transformer

at::Tensor seeded(std::vector<int64_t> shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

diffusion::Network flux_network() {
  return diffusion::load_network(golden::folder() / "flux/dev/transformer");
}

diffusion::LoraWeights lora_of(const Tensors& tensors) {
  const fs::path file = tests::fresh_folder() / "lora.safetensors";
  data::Weights weights;
  weights.tensors = tensors;
  data::write_safetensors(file, weights);
  return diffusion::read_lora(file);
}

// What a LoRA of these tensors adds to a layer.
at::Tensor added(const Tensors& tensors, const std::string& layer) {
  diffusion::Network network = flux_network();
  const at::Tensor before = diffusion::tensors_of(network).tensors.at(layer + ".weight").clone();
  auto target = diffusion::lora_target(network);
  diffusion::apply_loras(target, {{std::make_shared<diffusion::LoraWeights>(lora_of(tensors))}});
  return diffusion::tensors_of(network).tensors.at(layer + ".weight") - before;
}

Tensors pair_of(const std::string& module,
                const at::Tensor& down,
                const at::Tensor& up,
                bool peft) {
  return {{module + (peft ? ".lora_A.weight" : ".lora_down.weight"), down},
          {module + (peft ? ".lora_B.weight" : ".lora_up.weight"), up}};
}

TEST(FluxLora, EveryWritersNameOfALayerChangesIt) {
  const at::Tensor down = seeded({2, kWidth}, 1), up = seeded({kWidth, 2}, 2);
  const at::Tensor expected = up.mm(down);
  const std::string path = "transformer_blocks.1.attn.to_add_out",
                    flat = "transformer_blocks_1_attn_to_add_out";
  for (const auto& tensors :
       {pair_of("transformer." + path, down, up, true),
        pair_of("base_model.model." + path, down, up, true),
        pair_of("lora_transformer_" + flat, down, up, false),
        pair_of("lycoris_" + flat, down, up, false),
        pair_of("lora_unet_double_blocks_1_txt_attn_proj", down, up, false),
        pair_of("diffusion_model.double_blocks.1.txt_attn.proj", down, up, true),
        pair_of("double_blocks.1.txt_attn.proj", down, up, true),
        pair_of("transformer.double_blocks.1.txt_attn.proj", down, up, true),
        Tensors{{"double_blocks.1.processor.proj_lora2.down.weight", down},
                {"double_blocks.1.processor.proj_lora2.up.weight", up}}}) {
    SCOPED_TRACE(tensors.begin()->first);
    EXPECT_TRUE(at::allclose(added(tensors, path), expected, 1e-4, 1e-5));
  }
}

TEST(FluxLora, AFusedLayerChangesItsParts) {
  const at::Tensor down = seeded({2, kWidth}, 3), up = seeded({7 * kWidth, 2}, 4);
  Tensors tensors = pair_of("lora_unet_single_blocks_0_linear1", down, up, false);
  tensors["lora_unet_single_blocks_0_linear1.alpha"] = at::full({}, 1.0);
  const at::Tensor change = 0.5 * up.mm(down);  // alpha 1 of rank 2
  const std::pair<const char*, int64_t> parts[] = {
      {"attn.to_q", 1}, {"attn.to_k", 1}, {"attn.to_v", 1}, {"proj_mlp", 4}};
  int64_t first = 0;
  for (const auto& [part, share] : parts) {
    const int64_t end = first + share * kWidth;
    EXPECT_TRUE(at::allclose(added(tensors, std::string("single_transformer_blocks.0.") + part),
                             change.slice(0, first, end), 1e-4, 1e-5))
        << part;
    first = end;
  }
  const at::Tensor qkv = seeded({3 * kWidth, 2}, 5);
  const Tensors xlabs{{"double_blocks.0.processor.qkv_lora1.down.weight", down},
                      {"double_blocks.0.processor.qkv_lora1.up.weight", qkv}};
  EXPECT_TRUE(at::allclose(added(xlabs, "transformer_blocks.0.attn.to_v"),
                           qkv.slice(0, 2 * kWidth).mm(down), 1e-4, 1e-5));
  EXPECT_NE(refusal([&] {
              lora_of(pair_of("lora_unet_single_blocks_0_linear1", down, up.slice(0, 1), false));
            }).find("rows of 4 layers"),
            std::string::npos);
}

TEST(FluxLora, ShiftAndScaleOfTheEndAreSwapped) {
  const at::Tensor down = seeded({2, kWidth}, 6), up = seeded({2 * kWidth, 2}, 7);
  const at::Tensor found = added(
      pair_of("lora_unet_final_layer_adaLN_modulation_1", down, up, false), "norm_out.linear");
  EXPECT_TRUE(at::allclose(found, up.roll(kWidth, 0).mm(down), 1e-4, 1e-5));
}

diffusion::LoraWeights own_lora() {
  diffusion::LoraWeights lora;
  auto& modules = lora.parts["transformer"];
  const auto put = [&](const std::string& module, int64_t out, int64_t in, double scale) {
    const auto seed = static_cast<uint64_t>(modules.size());
    modules[module] = {LowRank{seeded({2, in}, 10 + seed), seeded({out, 2}, 30 + seed)}, scale};
  };
  for (const char* part : {"to_q", "to_v"})
    put(std::string("single_transformer_blocks.0.attn.") + part, kWidth, kWidth, 0.5);
  put("single_transformer_blocks.0.proj_mlp", 4 * kWidth, kWidth, 2);
  put("transformer_blocks.1.attn.add_k_proj", kWidth, kWidth, 0.5);
  put("transformer_blocks.1.attn.to_out.0", kWidth, kWidth, 0.5);
  put("norm_out.linear", 2 * kWidth, kWidth, 0.5);
  return lora;
}

TEST(FluxLora, IsWrittenInBothFormsAndReadBack) {
  const diffusion::LoraWeights lora = own_lora();
  EXPECT_EQ(diffusion::lora_family(lora), "FLUX.1");
  const fs::path file = tests::fresh_folder() / "lora.safetensors";
  for (const auto format : {diffusion::LoraFormat::kPeft, diffusion::LoraFormat::kKohya}) {
    diffusion::write_lora(file, lora, format, at::kFloat, {});
    const auto names = data::read_safetensors(file).tensors;
    EXPECT_TRUE(
        names.contains(format == diffusion::LoraFormat::kPeft
                           ? "transformer.transformer_blocks.1.attn.add_k_proj.lora_A.weight"
                           : "lora_unet_double_blocks_1_txt_attn_qkv.lora_down.weight"));
    const auto again = diffusion::read_lora(file);
    for (const auto& [module, change] : lora.parts.at("transformer")) {
      EXPECT_TRUE(at::allclose(diffusion::dense_change(again.parts.at("transformer").at(module)),
                               diffusion::dense_change(change), 1e-4, 1e-5))
          << module;
    }
  }
  const auto again = diffusion::read_lora(file);
  EXPECT_EQ(diffusion::dense_change(
                again.parts.at("transformer").at("single_transformer_blocks.0.attn.to_k"))
                .abs()
                .max()
                .item<double>(),
            0);
  const auto metadata = diffusion::merged_metadata(lora, "a", "b");
  EXPECT_EQ(metadata.at("modelspec.architecture"), "flux-1-dev/lora");
  EXPECT_EQ(metadata.at("ss_base_model_version"), "flux1");
}

TEST(FluxLora, AFusedOneIsADiagonalOfBlocks) {
  std::map<std::string, LoraChange> modules;
  modules["transformer_blocks.0.attn.to_q"] = {LowRank{at::ones({1, 4}), at::ones({4, 1})}, 3};
  modules["transformer_blocks.0.attn.to_v"] = {LowRank{2 * at::ones({1, 4}), at::ones({4, 1})}, 1};
  const auto changes = diffusion::original_changes(modules);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes.begin()->first, "double_blocks.0.img_attn.qkv");
  const auto& pair = std::get<LowRank>(changes.begin()->second.form);
  EXPECT_EQ(pair.down.sizes(), (std::vector<int64_t>{2, 4}));
  const at::Tensor up = at::zeros({12, 2});
  up.select(1, 0).slice(0, 0, 4).fill_(3);
  up.select(1, 1).slice(0, 8).fill_(1);
  EXPECT_TRUE(at::equal(pair.up, up));
  EXPECT_THROW(diffusion::original_changes({{"down_blocks.0", modules.begin()->second}}),
               c10::Error);
}

TEST(FluxLora, T5sIsRefusedByName) {
  EXPECT_NE(refusal([&] {
              lora_of(pair_of("lora_te3_encoder_block_0_layer_0_SelfAttention_q", at::ones({1, 2}),
                              at::ones({2, 1}), false));
            }).find("T5"),
            std::string::npos);
}

}  // namespace
