// LoRAs of Stable Diffusion 3: names of every writer, fused layers.

#include "diffusion/lora/fused.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/save_in_source_format.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/read.hpp"
#include "diffusion/lora/write.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::LoraChange;
using diffusion::LowRank;
using diffusion::Pipeline;

const fs::path kSd35 = golden::folder() / "sd3" / "sd35";

at::Tensor random_of(std::vector<int64_t> shape, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

// The transformer's weights after a LoRA of these tensors.
data::Weights tuned_by(const std::map<std::string, at::Tensor>& tensors) {
  const fs::path file = tests::fresh_folder() / "lora.safetensors";
  data::Weights weights;
  weights.tensors = tensors;
  data::write_safetensors(file, weights);
  Pipeline pipeline = diffusion::load_pipeline(kSd35, {.without_t5 = true});
  diffusion::apply_loras(pipeline,
                         {{std::make_shared<diffusion::LoraWeights>(diffusion::read_lora(file))}});
  return diffusion::tensors_of(pipeline.network);
}

data::Weights plain() {
  Pipeline pipeline = diffusion::load_pipeline(kSd35, {.without_t5 = true});
  return diffusion::tensors_of(pipeline.network);
}

TEST(Sd3Lora, EveryWritersNameOfALayerChangesIt) {
  const at::Tensor down = random_of({2, 16}, 1), up = random_of({16, 2}, 2);
  const std::string layer = "transformer_blocks.1.attn2.to_out.0.weight";
  const at::Tensor expected = plain().tensors.at(layer) + up.mm(down);
  const auto pair = [&](const std::string& module, const std::string& a, const std::string& b) {
    return std::map<std::string, at::Tensor>{{module + a, down}, {module + b, up}};
  };
  const std::string path = "transformer_blocks.1.attn2.to_out.0",
                    flat = "transformer_blocks_1_attn2_to_out_0";
  for (const auto& tensors :
       {pair("transformer." + path, ".lora_A.weight", ".lora_B.weight"),
        pair("base_model.model." + path, ".lora_A.weight", ".lora_B.weight"),
        pair("lora_transformer_" + flat, ".lora_down.weight", ".lora_up.weight"),
        pair("lycoris_" + flat, ".lora_down.weight", ".lora_up.weight"),
        pair("lora_unet_joint_blocks_1_x_block_attn2_proj", ".lora_down.weight", ".lora_up.weight"),
        pair("diffusion_model.joint_blocks.1.x_block.attn2.proj", ".lora_A.weight",
             ".lora_B.weight")}) {
    SCOPED_TRACE(tensors.begin()->first);
    const data::Weights tuned = tuned_by(tensors);
    EXPECT_TRUE(at::allclose(tuned.tensors.at(layer), expected, 1e-6, 1e-6));
    EXPECT_TRUE(
        at::equal(tuned.tensors.at("proj_out.weight"), plain().tensors.at("proj_out.weight")));
  }
}

TEST(Sd3Lora, AFusedLayerChangesItsThreeParts) {
  const at::Tensor down = random_of({2, 16}, 3), up = random_of({48, 2}, 4);
  const data::Weights before = plain(),
                      after = tuned_by({{"lora_unet_joint_blocks_0_context_block_attn_qkv"
                                         ".lora_down.weight",
                                         down},
                                        {"lora_unet_joint_blocks_0_context_block_attn_qkv"
                                         ".lora_up.weight",
                                         up},
                                        {"lora_unet_joint_blocks_0_context_block_attn_qkv.alpha",
                                         at::full({}, 1.0)}});
  const at::Tensor change = 0.5 * up.mm(down);  // alpha 1 of rank 2
  const char* parts[] = {"add_q_proj", "add_k_proj", "add_v_proj"};
  for (int64_t i = 0; i < 3; ++i) {
    const std::string name = "transformer_blocks.0.attn." + std::string(parts[i]) + ".weight";
    EXPECT_TRUE(at::allclose(after.tensors.at(name) - before.tensors.at(name),
                             change.slice(0, 16 * i, 16 * (i + 1)), 1e-5, 1e-6))
        << name;
  }
}

TEST(Sd3Lora, ShiftAndScaleAreSwappedWhereTheFileHasThemSo) {
  const LoraChange change{LowRank{random_of({2, 16}, 5), random_of({32, 2}, 6)}, 1.0};
  const at::Tensor dense = diffusion::dense_change(change);
  for (const std::string module :
       {"final_layer.adaLN_modulation.1", "joint_blocks.2.context_block.adaLN_modulation.1"}) {
    const auto changes = diffusion::diffusers_changes(module, change, "file");
    ASSERT_EQ(changes.size(), 1u) << module;
    EXPECT_TRUE(at::allclose(diffusion::dense_change(changes.begin()->second),
                             at::cat({dense.slice(0, 16), dense.slice(0, 0, 16)})))
        << module;
  }
  // Six chunks: a block that is not the last.
  const LoraChange six{LowRank{random_of({2, 16}, 5), random_of({96, 2}, 6)}, 1.0};
  const auto changes =
      diffusion::diffusers_changes("joint_blocks.2.context_block.adaLN_modulation.1", six, "file");
  EXPECT_TRUE(
      at::equal(diffusion::dense_change(changes.begin()->second), diffusion::dense_change(six)));
  EXPECT_EQ(changes.begin()->first, "transformer_blocks.2.norm1_context.linear");
}

TEST(Sd3Lora, OtherFormsAreSplitToo) {
  const at::Tensor diff = random_of({48, 16}, 7);
  const auto changes = diffusion::diffusers_changes("joint_blocks.0.x_block.attn.qkv",
                                                    {diffusion::Whole{diff}, 1.0}, "file");
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_TRUE(at::equal(diffusion::dense_change(changes.at("transformer_blocks.0.attn.to_v")),
                        diff.slice(0, 32)));
  EXPECT_NE(refusal([&] {
              diffusion::diffusers_changes("joint_blocks.0.x_block.attn.qkv",
                                           {diffusion::Whole{diff.slice(0, 1)}, 1.0}, "file");
            }).find("rows of 3 layers"),
            std::string::npos);
}

TEST(Sd3Lora, HostileShapesAndNumbersAreBounded) {
  const LoraChange flat{diffusion::Whole{at::ones({6})}, 1.0};
  for (const std::string module :
       {"joint_blocks.0.context_block.adaLN_modulation.1",
        "joint_blocks.9223372036854775807.context_block.adaLN_modulation.1"}) {
    EXPECT_EQ(diffusion::diffusers_changes(module, flat, "file").size(), 1u) << module;
  }
}

TEST(Sd3Lora, IsWrittenWithNamesThatReadBack) {
  diffusion::LoraWeights lora;
  lora.parts["transformer"]["transformer_blocks.0.attn.to_q"] = {
      LowRank{random_of({2, 16}, 8), random_of({16, 2}, 9)}, 0.5};
  EXPECT_EQ(diffusion::lora_family(lora), "Stable Diffusion 3");
  const fs::path folder = tests::fresh_folder();
  for (const auto format : {diffusion::LoraFormat::kPeft, diffusion::LoraFormat::kKohya}) {
    const fs::path file = folder / "lora.safetensors";
    diffusion::write_lora(file, lora, format, at::kFloat, {});
    const auto again = diffusion::read_lora(file);
    EXPECT_TRUE(at::allclose(
        diffusion::dense_change(again.parts.at("transformer").at("transformer_blocks.0.attn.to_q")),
        diffusion::dense_change(lora.parts.at("transformer").begin()->second)));
  }
  EXPECT_EQ(diffusion::merged_metadata(lora, "a", "b").at("modelspec.architecture"),
            "stable-diffusion-3/lora");
}

}  // namespace
