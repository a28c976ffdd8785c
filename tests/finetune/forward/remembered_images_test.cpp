#include "finetune/forward/remembered_images.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "data/weights/safetensors.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/refusal.hpp"

namespace {

using finetune::DrawnEpoch;
using finetune::RememberedImages;

// Images of prompts "p" and "q", two each, whose only latent value is their reward.
DrawnEpoch epoch_of(const std::vector<double>& rewards, uint64_t first_seed) {
  DrawnEpoch epoch;
  epoch.plan.prompts = {"p", "q"};
  epoch.plan.draw.prompt_ids = {0, 0, 1, 1};
  for (uint64_t i = 0; i < 4; ++i) epoch.plan.draw.seeds.push_back(first_seed + i);
  epoch.rewards = at::tensor(rewards, at::kDouble).view({4, 1});
  epoch.latents = epoch.rewards.to(at::kFloat).view({4, 1, 1, 1});
  return epoch;
}

void see(RememberedImages& memory, const DrawnEpoch& epoch) {
  const auto candidates = finetune::candidates_of(epoch, memory);
  finetune::remember(memory, candidates, candidates.rewards.select(1, 0), epoch.plan.prompts);
}

std::vector<double> kept_of(const RememberedImages& memory, const std::string& prompt) {
  std::vector<double> rewards;
  for (const auto& image : memory.of.at(prompt)) rewards.push_back(image.rewards.item<double>());
  return rewards;
}

TEST(RememberedImages, AreTheBestOfAllEpochs) {
  RememberedImages memory{.each = 2};
  see(memory, epoch_of({1, 5, 3, 2}, 10));
  see(memory, epoch_of({4, 2, 1, 0}, 20));
  EXPECT_EQ(kept_of(memory, "p"), (std::vector<double>{5, 4}));
  EXPECT_EQ(kept_of(memory, "q"), (std::vector<double>{3, 2}));
  const auto candidates = finetune::candidates_of(epoch_of({0, 0, 0, 0}, 30), memory);
  EXPECT_EQ(candidates.prompt_ids, (std::vector<int64_t>{0, 0, 1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(candidates.seeds[4], 11u);
  EXPECT_EQ(candidates.latents[5].item<double>(), 4);
}

TEST(RememberedImages, OfEqualRewardsTheNewerStaysAndNoneThatFailed) {
  RememberedImages memory{.each = 1};
  see(memory, epoch_of({5, 1, std::numeric_limits<double>::quiet_NaN(), 2}, 10));
  see(memory, epoch_of({5, 1, 0, 0}, 20));
  EXPECT_EQ(memory.of.at("p")[0].seed, 20u);
  EXPECT_EQ(kept_of(memory, "q"), (std::vector<double>{2}));
}

TEST(RememberedImages, WithoutAMemoryTheCandidatesAreTheEpochs) {
  RememberedImages memory;
  const auto epoch = epoch_of({1, 5, 3, 2}, 10);
  see(memory, epoch);
  EXPECT_TRUE(memory.of.empty());
  EXPECT_TRUE(at::equal(finetune::candidates_of(epoch, memory).latents, epoch.latents));
}

TEST(RememberedImages, AreReadBackAsTheyWere) {
  const auto folder = tests::fresh_folder();
  RememberedImages memory{.each = 2}, other{.each = 2};
  finetune::save_remembered(folder, memory);
  finetune::load_remembered(folder, other);
  EXPECT_TRUE(other.of.empty());
  see(memory, epoch_of({1, 5, 3, 2}, 10));
  finetune::save_remembered(folder, memory);
  finetune::load_remembered(folder, other);
  EXPECT_EQ(kept_of(other, "p"), kept_of(memory, "p"));
  EXPECT_EQ(other.of.at("q")[1].seed, memory.of.at("q")[1].seed);
  EXPECT_TRUE(at::equal(other.of.at("q")[0].latents, memory.of.at("q")[0].latents));
  data::Weights wrong;
  wrong.tensors["latents"] = at::zeros({2, 1, 1, 1});
  wrong.metadata["prompts"] = "[\"p\"]";
  data::write_safetensors(folder / "remembered.safetensors", wrong);
  EXPECT_NE(refusal([&] { finetune::load_remembered(folder, other); }).find("remembers"),
            std::string::npos);
}

}  // namespace
