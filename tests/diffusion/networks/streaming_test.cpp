#include "diffusion/networks/streaming.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/device/memory.hpp"
#include "data/weights/safetensors.hpp"
#include "diffusion/networks/network_files.hpp"
#include "diffusion/networks/without_blocks.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/golden.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/pipeline.hpp"
#include "tests/support/tiny/transformer_output.hpp"

namespace {

namespace fs = std::filesystem;
using diffusion::Network;

const fs::path kTransformers[] = {golden::folder() / "sd3" / "sd35" / "transformer",
                                  golden::folder() / "flux" / "dev" / "transformer"};

// Both networks of a folder: whole, and with its blocks in the file.
struct Both {
  Network whole, streamed;
};
Both both_of(const fs::path& folder) {
  return {diffusion::load_network(folder), diffusion::load_network(folder, {.streamed = true})};
}

double bytes_of(Network network) {
  double bytes = 0;
  diffusion::for_each_tensor(network, "", [&](const std::string&, const at::Tensor& tensor) {
    if (!tensor.is_meta()) bytes += static_cast<double>(tensor.nbytes());
  });
  return bytes;
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

TEST(Streaming, GivesTheSameBitsFromTheFileAsFromMemory) {
  for (const fs::path& folder : kTransformers) {
    auto [whole, streamed] = both_of(folder);
    const auto blocks = diffusion::streamed_bytes(streamed);
    EXPECT_GE(blocks.size(), 3u) << folder;
    EXPECT_NEAR(bytes_of(streamed) + sum(blocks), bytes_of(whole), 0.5);
    const at::Tensor expected = tests::transformer_output(whole);
    EXPECT_TRUE(at::equal(tests::transformer_output(streamed), expected)) << folder;
    EXPECT_TRUE(at::equal(tests::transformer_output(streamed), expected))
        << "the second pass, " << folder;
    for (size_t kept = 1; kept <= blocks.size(); ++kept) {
      diffusion::keep_blocks(streamed, 1);
      EXPECT_EQ(diffusion::streamed_bytes(streamed).size(), blocks.size() - kept);
      EXPECT_TRUE(at::equal(tests::transformer_output(streamed), expected))
          << kept << " kept, " << folder;
    }
    EXPECT_NEAR(bytes_of(streamed), bytes_of(whole), 0.5);
  }
}

TEST(Streaming, ReadsFilesInHalfPrecisionAsTheyAreLoaded) {
  for (const fs::path& folder : kTransformers) {
    const fs::path half = tests::fresh_folder("half");
    const Network original = diffusion::load_network(folder);
    diffusion::save_network(half, original, at::kHalf);
    const auto [whole, streamed] = both_of(half / diffusion::kind_of(original).part);
    EXPECT_TRUE(at::equal(tests::transformer_output(streamed), tests::transformer_output(whole)))
        << folder;
  }
}

TEST(Streaming, KeepsBlocksInTheTypeOfTheirProducts) {
  Network streamed = diffusion::load_network(kTransformers[0], {.streamed = true});
  const double single = sum(diffusion::streamed_bytes(streamed));
  streamed = diffusion::with_compute_dtype(streamed, at::kBFloat16);
  EXPECT_LT(sum(diffusion::streamed_bytes(streamed)), 0.6 * single);  // norms stay in fp32
  diffusion::keep_blocks(streamed, 1);
  const auto& block = std::get<diffusion::MMDiT>(streamed).transformer_blocks[0];
  EXPECT_EQ(block.image.attn.to_q.weight.scalar_type(), at::kBFloat16);
  EXPECT_EQ(block.image.attn.norm_q.weight.scalar_type(), at::kFloat);
}

TEST(Streaming, BlocksKeepTheirNamesWhenOthersAreLeftOut) {
  const auto [whole, streamed] = both_of(kTransformers[0]);
  EXPECT_TRUE(at::equal(tests::transformer_output(diffusion::without_blocks(streamed, {0})),
                        tests::transformer_output(diffusion::without_blocks(whole, {0}))));
}

// 8 blocks of 0.9 MB: a pass holds one of them beside its activations.
TEST(Streaming, HoldsOneBlockAtATime) {
  auto generator = at::detail::createCPUGenerator(1);
  const Network made = diffusion::make_mmdit({.sample_size = 8,
                                              .num_layers = 8,
                                              .attention_head_dim = 8,
                                              .num_attention_heads = 10,
                                              .joint_attention_dim = 32,
                                              .caption_projection_dim = 80,
                                              .pooled_projection_dim = 16,
                                              .pos_embed_max_size = 8},
                                             generator);
  const fs::path folder = tests::fresh_folder();
  diffusion::save_network(folder, made, at::kFloat);
  const auto [whole, streamed] = both_of(folder / "transformer");
  const auto blocks = diffusion::streamed_bytes(streamed);
  const double block = *std::max_element(blocks.begin(), blocks.end());
  const auto peak = [](const Network& network) {
    return static_cast<double>(
        data::peak_tensor_bytes([&] { tests::transformer_output(network); }));
  };
  const double more = peak(streamed) - peak(whole);
  EXPECT_GT(more, 0.9 * block);
  EXPECT_LT(more, 1.2 * block);
}

TEST(Streaming, AUNetStaysInMemory) {
  EXPECT_TRUE(diffusion::streamed_bytes(tests::tiny_pipeline().network).empty());
}

TEST(Streaming, FaultsOfTheFileAreNamed) {
  const fs::path folder = tests::fresh_folder();
  diffusion::save_network(folder, diffusion::load_network(kTransformers[0]), at::kFloat);
  const fs::path file = folder / "transformer" / "diffusion_pytorch_model.safetensors";
  data::Weights weights = data::read_safetensors(file);
  for (auto& [name, tensor] : weights.tensors) tensor = tensor.clone();
  const std::string damaged = "transformer_blocks.1.attn.to_q.weight";
  const auto load = [&] {
    data::write_safetensors(file, weights);
    return diffusion::load_network(folder / "transformer", {.streamed = true});
  };
  weights.tensors[damaged][0][0] = NAN;
  const Network streamed = load();  // values are read by the pass
  const std::string said = refusal([&] { tests::transformer_output(streamed); });
  EXPECT_NE(said.find("tensor " + damaged + " holds NaN"), std::string::npos) << said;
  weights.tensors[damaged] = at::ones({2, 2});
  EXPECT_NE(refusal([&] { load(); }).find(damaged + ": expected shape [16, 16]"),
            std::string::npos);
  weights.tensors.erase(damaged);
  EXPECT_NE(refusal([&] { load(); }).find(damaged + " [16, 16] is missing"), std::string::npos);
}

}  // namespace
