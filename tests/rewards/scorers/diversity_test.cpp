#include "rewards/scorers/diversity.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "rewards/combine/diversity.hpp"
#include "rewards/combine/measures.hpp"
#include "rewards/registry/registry.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

namespace fs = std::filesystem;

rewards::RewardSources embedded() {
  const fs::path models = fs::path(tests::source_dir()) / "models";
  return {.clip = models / "tiny-world" / "clip",
          .definitions = {"social_diversity=diversity:" + (models / "rewards/social").string()},
          .tokenizer = models / "clip-tokenizer"};
}

at::Tensor some_images() {
  auto generator = at::detail::createCPUGenerator(1);
  at::Tensor images = at::rand({4, 3, 64, 64}, generator);
  images[1] = images[0];
  images[2].fill_(0.9);
  return images;
}

at::Tensor scores(const std::string& name, const at::Tensor& images) {
  const at::NoGradGuard no_gradient;
  const auto rewards = rewards::make_rewards(name, embedded());
  return rewards::scores_of(rewards, rewards::measure(rewards, {images, {"a", "a", "a", "a"}}),
                            {0, 0, 0, 0})
      .select(1, 0);
}

TEST(DiversityReward, IsThatOfItsClipsEmbeddings) {
  const at::Tensor images = some_images(), found = scores("diversity", images);
  const at::NoGradGuard no_gradient;
  const auto clip = rewards::load_clip_embedder(embedded().clip, at::kCPU);
  EXPECT_TRUE(
      at::allclose(found, rewards::image_diversity(clip->images(images), {0, 0, 0, 0}), 1e-6));
  EXPECT_NEAR(found[0].item<double>(), found[1].item<double>(), 1e-6);  // copies
  EXPECT_GT(found[2].item<double>(), found[0].item<double>());          // the odd one
}

TEST(DiversityReward, OfAnotherClipIsAnother) {
  const at::Tensor images = some_images();
  EXPECT_FALSE(at::allclose(scores("diversity", images), scores("social_diversity", images)));
  const auto origin = rewards::origin_of("social_diversity", embedded());
  EXPECT_TRUE(origin.compares_images);
  EXPECT_FALSE(rewards::share_weights(origin, rewards::origin_of("diversity", embedded())));
}

TEST(DiversityReward, RefusesAnImageAlone) {
  for (const char* name : {"diversity", "social_diversity"}) {
    const auto reward = rewards::make_reward(name, embedded());
    const std::string said = refusal([&] { reward.score({some_images(), {}}); });
    EXPECT_NE(said.find(std::string("reward ") + name + ": compares the images of a prompt"),
              std::string::npos)
        << said;
    EXPECT_EQ(said.find('\n'), std::string::npos);
  }
}

}  // namespace
