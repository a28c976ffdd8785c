#include "diffusion/checkpoints/save_in_source_format.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/base/error.hpp"
#include "data/base/files.hpp"
#include "data/weights/safetensors.hpp"
#include "data/weights/weight_files.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/checkpoints/single_file.hpp"
#include "diffusion/pipeline/pipeline.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"

namespace {

namespace fs = std::filesystem;
using data::Weights;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests/golden";

// The same dtype, shape and bytes (which NaN would not spoil).
bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() && at::equal(a, b);
}

void add_to(at::Tensor& tensor, double value) { tensor = tensor + value; }

TEST(SaveLike, ASingleFileStaysOneAndOnlyWhatChangedChanges) {
  const fs::path source = kGolden / "single_file/sd1/model.ckpt",
                 target = tests::fresh_folder() / "out.safetensors";
  auto unet = diffusion::unet_of(diffusion::load_single_file(source, {}).pipeline.network);
  add_to(unet.conv_in.bias, 1);
  add_to(unet.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight, 1);
  diffusion::save_in_source_format(source, target, {{"unet", diffusion::tensors_of(unet)}});
  const Weights before = data::read_weights_file(source), after = data::read_safetensors(target);
  ASSERT_EQ(after.tensors.size(), before.tensors.size());
  std::vector<std::string> changed;
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_EQ(after.tensors.at(name).scalar_type(), tensor.scalar_type());
    if (!same_bytes(after.tensors.at(name), tensor)) changed.push_back(name);
  }
  EXPECT_EQ(changed, (std::vector<std::string>{
                         "model.diffusion_model.input_blocks.0.0.bias",
                         "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k."
                         "weight"}));
  EXPECT_TRUE(data::has(after, "model_ema.decay"));
  fs::copy(kGolden / "single_file/sd1/model.json", target.parent_path() / "out.json");
  fs::copy(kGolden / "single_file/sd1/tokenizer", target.parent_path() / "tokenizer");
  const auto again = diffusion::unet_of(diffusion::load_single_file(target, {}).pipeline.network);
  EXPECT_TRUE(at::allclose(again.conv_in.bias, unet.conv_in.bias, 1e-3, 1e-3));
}

TEST(SaveLike, APackedProjectionAndATransposedOneGoBack) {
  const fs::path source = kGolden / "single_file/sdxl/model.safetensors",
                 target = tests::fresh_folder() / "out.safetensors";
  auto text = diffusion::load_single_file(source, {}).pipeline.text_encoders.at(1).network;
  diffusion::PartWeights parts;
  nn::for_each_tensor(text, "text_model", [&](const std::string& name, at::Tensor& tensor) {
    parts["text_encoder_2"].tensors[name] = tensor;
  });
  diffusion::save_in_source_format(source, target, parts);
  const Weights before = data::read_weights_file(source);
  Weights after = data::read_safetensors(target);
  for (const auto& [name, tensor] : before.tensors)
    EXPECT_TRUE(same_bytes(after.tensors.at(name), tensor)) << name;
  EXPECT_EQ(after.metadata, before.metadata);
  const std::string key = "text_model.encoder.layers.1.self_attn.k_proj.bias";
  add_to(parts["text_encoder_2"].tensors.at(key), 2);
  add_to(parts["text_encoder_2"].tensors.at("text_projection.weight"), 0.5);
  diffusion::save_in_source_format(source, target, parts);  // in the place of the first
  after = data::read_safetensors(target);
  const std::string packed =
      "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_bias";
  const at::Tensor moved = after.tensors.at(packed) - before.tensors.at(packed);
  EXPECT_TRUE(at::allclose(moved.slice(0, 24, 48).to(at::kFloat), at::full({24}, 2.0), 0, 1e-2));
  EXPECT_EQ(moved.slice(0, 0, 24).abs().sum().item<double>(), 0);
  const std::string projection = "conditioner.embedders.1.model.text_projection";
  EXPECT_EQ(after.tensors.at(projection).sizes(), (std::vector<int64_t>{24, 12}));
  EXPECT_FALSE(same_bytes(after.tensors.at(projection), before.tensors.at(projection)));
}

TEST(SaveLike, AFolderKeepsItsFilesShardsAndConfigs) {
  const fs::path root = tests::fresh_folder(), source = root / "in", target = root / "out";
  fs::copy(kGolden / "pipeline", source, fs::copy_options::recursive);
  const Weights whole = data::read_safetensors(source / "unet/diffusion_pytorch_model.safetensors");
  Weights shards[2];
  std::string map;
  for (const auto& [name, tensor] : whole.tensors) {
    const int shard = name < "mid" ? 0 : 1;
    shards[shard].tensors[name] = tensor;
    map +=
        (map.empty() ? "\"" : ", \"") + name + "\": \"s" + std::to_string(shard) + ".safetensors\"";
  }
  for (const int i : {0, 1})
    data::write_safetensors(source / "unet" / ("s" + std::to_string(i) + ".safetensors"),
                            shards[i]);
  fs::remove(source / "unet/diffusion_pytorch_model.safetensors");
  data::write_file(source / "unet/diffusion_pytorch_model.safetensors.index.json",
                   R"({"metadata": {}, "weight_map": {)" + map + "}}");
  data::write_file(source / "unet/diffusion_pytorch_model.fp16.safetensors", "of old weights");
  data::write_file(source / "whole.ckpt", "of old weights");
  data::write_file(source / "README.md", "mine\n");
  auto unet = diffusion::unet_of(diffusion::load_pipeline(source).network);
  add_to(unet.conv_out.bias, 1);
  data::write_file(target / "of an earlier export", "x");
  diffusion::save_in_source_format(source, target, {{"unet", diffusion::tensors_of(unet)}});
  EXPECT_FALSE(fs::exists(target / "of an earlier export"));
  for (const char* file : {"README.md", "model_index.json", "unet/config.json", "vae/config.json",
                           "unet/diffusion_pytorch_model.safetensors.index.json",
                           "vae/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt"})
    EXPECT_EQ(data::read_file(target / file), data::read_file(source / file)) << file;
  EXPECT_FALSE(fs::exists(target / "unet/diffusion_pytorch_model.fp16.safetensors"));
  EXPECT_FALSE(fs::exists(target / "whole.ckpt"));
  const auto again = data::read_weights(target / "unet", "diffusion_pytorch_model");
  for (const auto& [name, tensor] : whole.tensors)
    EXPECT_EQ(same_bytes(again.tensors.at(name), tensor), name != "conv_out.bias") << name;
}

TEST(SaveLike, WhatHasNoPlaceIsRefused) {
  const fs::path root = tests::fresh_folder();
  const auto refusal = [&](const fs::path& source, const fs::path& target, const Weights& unet) {
    try {
      diffusion::save_in_source_format(source, target, {{"unet", unet}});
    } catch (const data::BadInput& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  Weights strange;
  strange.tensors["strange.weight"] = at::ones({1});
  const fs::path file = kGolden / "single_file/sd1/model.ckpt", folder = kGolden / "pipeline";
  EXPECT_NE(refusal(file, root / "a.safetensors", strange).find("strange.weight"),
            std::string::npos);
  EXPECT_NE(refusal(folder, root / "b", strange).find("strange.weight"), std::string::npos);
  EXPECT_NE(refusal(file, root / "a.ckpt", {}).find(".safetensors"), std::string::npos);
  Weights shape;
  shape.tensors["conv_in.bias"] = at::ones({9});
  EXPECT_NE(refusal(file, root / "a.safetensors", shape).find("[9]"), std::string::npos);
  EXPECT_FALSE(fs::exists(root / "a.safetensors"));
}

}  // namespace
