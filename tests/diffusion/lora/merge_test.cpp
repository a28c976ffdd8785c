#include "diffusion/lora/merge.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "data/base/error.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/checkpoints/diffusers_folder.hpp"
#include "diffusion/lora/apply.hpp"
#include "diffusion/lora/checkpoint_parts.hpp"
#include "diffusion/lora/write.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::CheckpointParts;
using diffusion::LoraUse;
using diffusion::LoraWeights;

const fs::path kGolden = fs::path(tests::source_dir()) / "tests" / "golden";

LoraUse use_of(const std::string& file, double unet = 1.0, double text = 1.0) {
  return {std::make_shared<LoraWeights>(diffusion::read_lora(kGolden / "lora" / file)), unet, text};
}

// The golden pipeline in fp32, with LoRAs.
CheckpointParts base_with(const std::vector<LoraUse>& uses) {
  CheckpointParts parts = diffusion::read_checkpoint_parts(kGolden / "pipeline");
  for (auto& [part, weights] : parts.parts) {
    for (auto& [name, tensor] : weights.tensors)
      if (tensor.is_floating_point()) tensor = tensor.to(at::kFloat);
  }
  auto target = diffusion::lora_target(parts);
  diffusion::apply_loras(target, uses);
  return parts;
}

// The largest difference between two checkpoints' tensors.
double difference(const CheckpointParts& a, const CheckpointParts& b) {
  double worst = 0;
  for (const auto& [part, weights] : a.parts) {
    for (const auto& [name, tensor] : weights.tensors) {
      const at::Tensor other = b.parts.at(part).tensors.at(name);
      worst = std::max(worst,
                       (tensor.to(at::kFloat) - other.to(at::kFloat)).abs().max().item<double>());
    }
  }
  return worst;
}

TEST(Approximate, IsExactAtTheFullRankAndTheBestBelow) {
  auto generator = at::detail::createCPUGenerator(1);
  for (const auto& shape : std::vector<std::vector<int64_t>>{{6, 9}, {9, 4}, {5, 3, 3, 3}}) {
    const at::Tensor dense = at::empty(shape).normal_(0, 1, generator);
    const auto all = diffusion::approximate(dense, {});
    const auto product = [&](const diffusion::LowRank& pair) {
      return pair.up.flatten(1).mm(pair.down.flatten(1)).view(shape);
    };
    EXPECT_TRUE(at::allclose(product(all.pair), dense, 1e-5, 1e-5));
    const auto some = diffusion::approximate(dense, {.rank = 2});
    EXPECT_EQ(some.pair.down.size(0), 2);
    // Eckart and Young: what is lost is the rest of the squares.
    const double lost = (product(some.pair) - dense).square().sum().item<double>();
    EXPECT_NEAR(lost, some.all - some.kept, 1e-4);
    EXPECT_NEAR(some.all, dense.square().sum().item<double>(), 1e-3);
  }
}

TEST(Approximate, EnergyDecidesTheRank) {
  const at::Tensor dense = at::diag(at::tensor({3.f, 2.f, 1.f}));  // squares 9, 4, 1 of 14
  EXPECT_EQ(diffusion::approximate(dense, {.energy = 0.6}).pair.up.size(1), 1);
  EXPECT_EQ(diffusion::approximate(dense, {.energy = 0.65}).pair.up.size(1), 2);
  EXPECT_EQ(diffusion::approximate(dense, {.energy = 0.95}).pair.up.size(1), 3);
  EXPECT_EQ(diffusion::approximate(dense, {.rank = 2, .energy = 0.95}).pair.up.size(1), 2);
}

class Combined : public testing::TestWithParam<diffusion::LoraFormat> {};

TEST_P(Combined, OneFileDoesWhatSeveralDo) {
  const std::vector<LoraUse> uses{use_of("original.safetensors", 0.7, 0.3),
                                  use_of("peft.safetensors", -0.4, 0.5), use_of("older.bin")};
  const auto result = diffusion::combine_loras(uses, {}, 1);
  const fs::path file = tests::fresh_folder() / "combined.safetensors";
  diffusion::write_lora(file, result.lora, GetParam(), at::kFloat,
                        diffusion::merged_metadata(result.lora, "t", "c"));
  const auto read = std::make_shared<LoraWeights>(diffusion::read_lora(file));
  EXPECT_LE(difference(base_with({{read, 1, 1}}), base_with(uses)), 1e-5);
  EXPECT_EQ(read->metadata.at("ss_network_dim"), "Dynamic");
  // diffusers takes the alphas of a file with several for the wrong layers.
  std::set<double> alphas;
  for (const auto& [name, tensor] : data::read_safetensors(file).tensors) {
    if (name.ends_with(".alpha")) alphas.insert(tensor.item<double>());
  }
  EXPECT_EQ(alphas.size(), GetParam() == diffusion::LoraFormat::kKohya ? 1u : 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, Combined, testing::Values(diffusion::LoraFormat::kPeft, diffusion::LoraFormat::kKohya));

TEST(CombineLoras, OtherFormsNeedARank) {
  const std::vector<LoraUse> uses{use_of("lokr.safetensors"), use_of("loha.safetensors", 0.5, 0.5)};
  EXPECT_NE(refusal([&] { diffusion::combine_loras(uses, {}, 1); }).find("give --rank or --energy"),
            std::string::npos);
  const auto result = diffusion::combine_loras(uses, {.energy = 1}, 1);
  const auto lora = std::make_shared<LoraWeights>(result.lora);
  EXPECT_LE(difference(base_with({{lora, 1, 1}}), base_with(uses)), 1e-4);
  const auto small = diffusion::combine_loras(uses, {.rank = 1}, 1);
  EXPECT_LT(small.kept, 0.99);
  EXPECT_GT(small.kept, 0.2);
}

TEST(ExtractLora, FindsTheChangeThatWasMade) {
  const std::vector<LoraUse> uses{use_of("kohya.safetensors", 0.8, 0.8)};
  CheckpointParts base = base_with({}), tuned = base_with(uses);
  const auto result = diffusion::extract_lora(diffusion::lora_target(base),
                                              diffusion::lora_target(tuned), {.rank = 3});
  EXPECT_NEAR(result.kept, 1, 1e-6);
  EXPECT_EQ(diffusion::count_changes(result.lora), diffusion::count_changes(*uses[0].lora));
  const auto lora = std::make_shared<LoraWeights>(result.lora);
  EXPECT_LE(difference(base_with({{lora, 1, 1}}), tuned), 1e-5);
  const auto none = refusal([&] {
    diffusion::extract_lora(diffusion::lora_target(base), diffusion::lora_target(base), {});
  });
  EXPECT_NE(none.find("nothing to extract"), std::string::npos) << none;
}

TEST(MergeCheckpoints, WeightedSumAndDifference) {
  const CheckpointParts a = base_with({}), b = base_with({use_of("kohya.safetensors")});
  CheckpointParts same = a, half = a;
  diffusion::merge_checkpoints(same, b, nullptr, 0);
  EXPECT_EQ(difference(same, a), 0);
  diffusion::merge_checkpoints(half, b, nullptr, 0.5);
  EXPECT_LE(difference(half, base_with({use_of("kohya.safetensors", 0.5, 0.5)})), 1e-6);
  CheckpointParts other = base_with({use_of("peft.safetensors")});
  diffusion::merge_checkpoints(other, b, &a, 2);
  EXPECT_LE(
      difference(other, base_with({use_of("peft.safetensors"), use_of("kohya.safetensors", 2, 2)})),
      1e-5);
}

TEST(MergeCheckpoints, DifferencesAreNamed) {
  CheckpointParts a = base_with({}), b = base_with({});
  b.parts.at("unet").tensors["conv_in.weight"] = at::zeros({8, 9, 3, 3});
  const std::string line = refusal([&] { diffusion::merge_checkpoints(a, b, nullptr, 0.5); });
  EXPECT_NE(line.find("unet: tensor conv_in.weight: expected [8, 4, 3, 3], found [8, 9, 3, 3]"),
            std::string::npos)
      << line;
}

TEST(CheckpointParts, AreWrittenAsAWholeFolder) {
  const fs::path folder = tests::fresh_folder() / "written";
  const CheckpointParts parts = base_with({use_of("kohya.safetensors")});
  diffusion::save_in_source_format(parts.source, folder, parts.parts, at::kHalf);
  EXPECT_TRUE(fs::exists(folder / "tokenizer" / "vocab.json"));
  EXPECT_FALSE(fs::exists(folder.string() + ".tmp"));
  const auto read = diffusion::read_checkpoint_parts(folder);
  EXPECT_LE(difference(read, parts), 5e-3);
  EXPECT_EQ(read.parts.at("vae").tensors.begin()->second.scalar_type(), at::kHalf);
  diffusion::load_pipeline(folder);
  EXPECT_NE(
      refusal([&] { diffusion::check_new_target(parts.source, folder); }).find("there already"),
      std::string::npos);
}

// A single file and the folder that was made of it are one checkpoint: half of each is the whole.
TEST(CheckpointParts, ASingleFileAndItsFolderHaveTheSameTensors) {
  for (const char* family : {"sd1", "sd2", "sdxl"}) {
    const fs::path files = kGolden / "single_file" / family;
    const fs::path source =
        fs::exists(files / "model.ckpt") ? files / "model.ckpt" : files / "model.safetensors";
    const CheckpointParts file = diffusion::read_checkpoint_parts(source);
    CheckpointParts twice = file;
    for (auto& [part, weights] : twice.parts) {
      for (auto& [name, tensor] : weights.tensors) tensor = tensor * 2;
    }
    diffusion::merge_checkpoints(twice, file, nullptr, 1.0);
    EXPECT_EQ(difference(twice, file), 0) << family;
    EXPECT_EQ(file.parts.size(), std::string(family) == "sdxl" ? 4u : 3u);
    const fs::path target = tests::fresh_folder(family) / "merged.safetensors";
    diffusion::save_in_source_format(source, target, twice.parts, at::kFloat);
    const auto again = diffusion::read_checkpoint_parts(target);
    EXPECT_EQ(difference(again, file), 0) << family;
    EXPECT_EQ(again.parts.at("unet").tensors.begin()->second.scalar_type(), at::kFloat);
  }
}

}  // namespace
