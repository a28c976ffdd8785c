#include "rewards/value/chain_files.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/base/files.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

using rewards::ChainFile;

// Two chains of three steps, as a finetuning run keeps them.
ChainFile run_chains() {
  auto generator = at::detail::createCPUGenerator(1);
  return {.prompt = "a \"red\" circle",
          .latents = at::randn({2, 3, 1, 4, 4}, generator).to(at::kHalf),
          .clean = at::randn({2, 1, 4, 4}, generator),
          .expected = {},
          .rewards = at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble).view({2, 2}),
          .combined = at::tensor({-1.0, 1.0}, at::kDouble),
          .text = at::randn({5}, generator),
          .timesteps = at::tensor({800.0, 300.0, 10.0}, at::kDouble)};
}

TEST(ChainFiles, ReadBackWhatWasWritten) {
  const auto path = tests::fresh_folder() / "00000.safetensors";
  const ChainFile written = run_chains();
  rewards::write_chain_file(path, written);
  const ChainFile read = rewards::read_chain_file(path);
  EXPECT_EQ(read.prompt, written.prompt);
  EXPECT_TRUE(at::equal(read.latents, written.latents));
  EXPECT_EQ(read.latents.scalar_type(), at::kHalf);
  EXPECT_TRUE(at::equal(read.clean, written.clean));
  EXPECT_TRUE(at::equal(read.rewards, written.rewards));
  EXPECT_TRUE(at::equal(read.combined, written.combined));
  EXPECT_TRUE(at::equal(read.text, written.text));
  EXPECT_TRUE(at::equal(read.timesteps, written.timesteps));
  EXPECT_FALSE(read.expected.defined());
}

TEST(ChainFiles, RefuseTensorsThatDoNotFitEachOther) {
  const auto path = tests::fresh_folder() / "00000.safetensors";
  const auto refused = [&](const ChainFile& chains) {
    rewards::write_chain_file(path, chains);
    return refusal([&] { rewards::read_chain_file(path); });
  };
  ChainFile chains = run_chains();
  chains.timesteps = chains.timesteps.narrow(0, 0, 2);
  EXPECT_NE(refused(chains).find("timesteps: expected numbers of shape [3] (-1: any), found [2]"),
            std::string::npos);
  chains = run_chains();
  chains.rewards = at::ones({3, 2}, at::kDouble);
  EXPECT_NE(refused(chains).find("rewards: expected"), std::string::npos);
  chains = run_chains();
  chains.expected = at::zeros({2, 3, 1, 4, 2}, at::kHalf);
  EXPECT_NE(refused(chains).find("expected: expected"), std::string::npos);
  chains = run_chains();
  chains.combined = at::ones({2}, at::kLong);
  EXPECT_NE(refused(chains).find("combined: expected numbers"), std::string::npos);
  chains = run_chains();
  chains.clean = at::Tensor();
  EXPECT_NE(refused(chains).find("expected the latents of chains and their ends"),
            std::string::npos);
}

TEST(ChainFiles, RefuseADamagedFileInOneLine) {
  const auto path = tests::fresh_folder() / "00000.safetensors";
  rewards::write_chain_file(path, run_chains());
  data::write_file(path, data::read_file(path).substr(0, 400));
  EXPECT_NE(refusal([&] { rewards::read_chain_file(path); }), "");
  std::filesystem::remove(path);
  EXPECT_NE(refusal([&] { rewards::read_chain_file(path); }), "");
}

}  // namespace
