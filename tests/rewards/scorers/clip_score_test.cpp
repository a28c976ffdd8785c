#include "rewards/scorers/clip_score.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "data/world/scene.hpp"
#include "rewards/registry/registry.hpp"
#include "tests/support/paths.hpp"
#include "tests/support/refusal.hpp"

namespace {

rewards::RewardSources embedded_sources() {
  const auto models = std::filesystem::path(tests::source_dir()) / "models";
  return {.clip = models / "tiny-world/clip",
          .weights = {{"judge_clip", models / "rewards/judge_clip"}}};
}

// The second CLIP knows the world, and says something else than the first.
TEST(JudgeClipScore, PrefersTheOwnCaptionByWeightsOfItsOwn) {
  const at::NoGradGuard no_gradient;
  auto generator = at::detail::createCPUGenerator(7);
  world::SceneBatch scenes = world::random_batch(48, world::Split::kUnseen, generator);
  std::vector<std::string> others = scenes.captions;
  std::rotate(others.begin(), others.begin() + 1, others.end());
  const auto first = rewards::make_reward("clip_score", embedded_sources()),
             judge = rewards::make_reward("clip_score@judge", embedded_sources());
  EXPECT_EQ(judge.info.name, "clip_score@judge");
  const at::Tensor own = judge.score({scenes.images, scenes.captions}),
                   shifted = judge.score({scenes.images, others});
  EXPECT_GT((own > shifted).to(at::kFloat).mean().item<double>(), 0.9);
  EXPECT_FALSE(at::allclose(own, first.score({scenes.images, scenes.captions}), 0, 1));
  EXPECT_FALSE(rewards::share_weights(rewards::origin_of("clip_score", embedded_sources()),
                                      rewards::origin_of("clip_score@judge", embedded_sources())));
}

TEST(JudgeClipScore, WithoutASecondClipSaysWhatIsMissing) {
  EXPECT_NE(refusal([] { rewards::make_reward("clip_score@judge", {}); }).find("--judge_clip"),
            std::string::npos);
}

}  // namespace
