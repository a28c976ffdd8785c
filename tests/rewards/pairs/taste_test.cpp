#include "rewards/pairs/taste.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/text/clip_tokenizer_files.hpp"
#include "data/weights/safetensors.hpp"
#include "rewards/clip/files.hpp"
#include "rewards/pairs/examples_reward.hpp"
#include "rewards/pairs/files.hpp"
#include "rewards/pairs/reward.hpp"
#include "rewards/registry/registry.hpp"
#include "tests/support/fresh_folder.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/clip.hpp"

namespace {

namespace fs = std::filesystem;

rewards::Taste taste_by_hand() {
  rewards::Taste taste;
  taste.weight = at::tensor({1.0, 2.0, -1.0, 0.0}, at::kDouble).view({2, 2});
  taste.score_weight = at::tensor({0.5, 3.0}, at::kDouble).view({2, 1});
  taste.bias = at::tensor({0.25, -1.0}, at::kDouble);
  taste.fingerprint = at::tensor({0.6, 0.8}, at::kDouble);
  taste.people = {"Ann"};
  taste.rewards = {"brightness"};
  taste.low = -2;
  taste.high = 3;
  taste.tie = 0.4;
  return taste;
}

TEST(Taste, ByHand) {
  const auto x = at::tensor({0.6, 0.8}, at::kDouble).view({1, 2});
  const auto score = at::full({1, 1}, 2.0, at::kDouble);
  const auto taste = taste_by_hand();
  EXPECT_NEAR(rewards::taste_scores(taste, 0, x, score).item<double>(), 2.2 + 1 + 0.25, 1e-12);
  EXPECT_NEAR(rewards::taste_scores(taste, 1, x, score).item<double>(), -0.6 + 6 - 1, 1e-12);
  EXPECT_THROW(rewards::taste_scores(taste, 0, score, score), c10::Error);
}

TEST(Taste, GradientAgreesWithDifferences) {
  const auto taste = taste_by_hand();
  const auto f = [&](const at::Tensor& x) {  // embedding and score
    return rewards::taste_scores(taste, 1, x.slice(1, 0, 2), x.slice(1, 2)).sum();
  };
  EXPECT_LT(gradient_error(f, at::tensor({0.6, 0.8, 0.3}, at::kDouble).view({1, 3})), 1e-8);
}

TEST(Taste, KnowsItsPeople) {
  const auto taste = taste_by_hand();
  EXPECT_EQ(rewards::row_of_person(taste, ""), 0);
  EXPECT_EQ(rewards::row_of_person(taste, "Ann"), 1);
  EXPECT_EQ(refusal([&] { rewards::row_of_person(taste, "Anne"); }),
            "person 'Anne': not in this taste; did you mean Ann?");
}

TEST(Taste, IsTheMeanOfItsMembers) {
  rewards::Taste other = taste_by_hand();
  other.weight = 3 * other.weight;
  other.bias = other.bias + 2;
  const auto mean = rewards::mean_of_members(taste_by_hand(), {taste_by_hand(), other});
  const auto x = at::tensor({0.6, 0.8}, at::kDouble).view({1, 2});
  const auto score = at::full({1, 1}, 2.0, at::kDouble);
  const auto of = [&](const rewards::Taste& taste) {
    return rewards::taste_scores(taste, 1, x, score).item<double>();
  };
  EXPECT_NEAR(of(mean), (of(taste_by_hand()) + of(other)) / 2, 1e-12);
  EXPECT_EQ(mean.members.size(), 2U);
  EXPECT_EQ(mean.tie, 0.4);
  EXPECT_THROW(rewards::mean_of_members(taste_by_hand(), {}), c10::Error);
}

TEST(Taste, MembersComeBackFromTheirFile) {
  const fs::path folder = tests::fresh_folder();
  rewards::Taste other = taste_by_hand();
  other.bias = other.bias + 2;
  rewards::save_taste(folder, rewards::mean_of_members(taste_by_hand(), {taste_by_hand(), other}));
  const auto loaded = rewards::load_taste(folder);
  ASSERT_EQ(loaded.members.size(), 2U);
  EXPECT_TRUE(at::allclose(loaded.members[1].bias, other.bias.to(at::kFloat)));
  data::Weights file = data::read_safetensors(folder / rewards::kRewardFile);
  file.tensors["members.1.weight"] = at::zeros({2, 3});
  EXPECT_NE(refusal([&] {
              rewards::take_taste(file);
            }).find("expected members for one CLIP, of width 2, found member 2 for width 3"),
            std::string::npos);
}

class TasteFile : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    const auto tiny = tiny_clip();
    rewards::save_clip(folder_ / "clip", tiny.clip, at::kFloat);
    data::save_tokenizer(folder_ / "clip", tiny.tokenizer);
    clip_ = rewards::load_clip_embedder(folder_ / "clip", at::kCPU);
  }
  void TearDown() override { fs::remove_all(folder_); }
  rewards::Taste taste_of_clip() const {
    auto generator = at::detail::createCPUGenerator(2);
    rewards::Taste taste = taste_by_hand();
    taste.weight = at::randn({2, 6}, generator);
    taste.fingerprint = clip_->images(rewards::clip_test_image())[0];
    return taste;
  }
  rewards::Reward made(const std::string& definition) const {
    rewards::RewardSources sources{.clip = folder_ / "clip", .definitions = {definition}};
    return rewards::make_reward("mine", sources);
  }
  std::string at_folder(const std::string& before, const std::string& after = "") const {
    return before + (folder_ / "taste").string() + after;
  }
  // The derivative of the scores' sum along its own gradient by the images, and by differences.
  static void expect_gradient(const rewards::Reward& reward) {
    const at::Tensor images = two_colours().slice(0, 18, 22);
    const std::vector<std::string> prompts(4, "a red circle");
    const at::Tensor leaf = images.clone().requires_grad_(true);
    reward.score({leaf, prompts}).sum().backward();
    const at::Tensor slope = leaf.grad() / leaf.grad().norm();
    const auto along = [&](double step) {
      return reward.score({images + step * slope, prompts}).sum().item<double>();
    };
    const double expected = leaf.grad().norm().item<double>();
    EXPECT_GT(expected, 1e-3);
    EXPECT_NEAR((along(0.01) - along(-0.01)) / 0.02, expected, 0.03 * expected);
  }
  const fs::path folder_ = fs::path(testing::TempDir()) / "laurel_taste_file";
  std::shared_ptr<rewards::ClipEmbedder> clip_;
};

TEST_F(TasteFile, LoadsWhatWasSaved) {
  const auto taste = taste_of_clip();
  rewards::save_taste(folder_ / "taste", taste);
  const auto loaded = rewards::load_taste(folder_ / "taste");
  EXPECT_TRUE(at::equal(loaded.weight, taste.weight));
  EXPECT_TRUE(at::equal(loaded.bias, taste.bias.to(at::kFloat)));
  EXPECT_EQ(loaded.people, taste.people);
  EXPECT_EQ(loaded.rewards, taste.rewards);
  EXPECT_EQ(loaded.tie, taste.tie);
  EXPECT_EQ(loaded.high, taste.high);
}

TEST_F(TasteFile, IsARewardWithAGradient) {
  const auto taste = taste_of_clip();
  rewards::save_taste(folder_ / "taste", taste);
  const auto reward = made(at_folder("mine=pairs:", ";person=Ann"));
  EXPECT_EQ(reward.info.name, "mine");
  EXPECT_TRUE(reward.info.differentiable);
  EXPECT_FALSE(reward.info.needs_prompt);
  expect_gradient(reward);
  const at::Tensor images = two_colours().slice(0, 0, 3);
  const auto brightness = rewards::make_reward("brightness", {}).score({images, {}});
  const auto expected = clip_->images(images).mv(taste.weight[1]) + 3 * brightness - 1;
  EXPECT_TRUE(at::allclose(reward.score({images, {}}), expected, 1e-4, 1e-4));
}

TEST_F(TasteFile, ExamplesAreARewardWithAGradient) {
  const at::Tensor images = two_colours();
  const at::Tensor embeddings = clip_->images(images).to(at::kDouble);
  auto fitted = rewards::fit_examples(embeddings.slice(0, 0, 5), at::zeros({0, 6}, at::kDouble),
                                      embeddings.slice(0, 20), {});
  fitted.fingerprint = clip_->images(rewards::clip_test_image())[0];
  fitted.cap = 1e6;
  rewards::save_examples(folder_ / "taste", fitted);
  const auto reward = made(at_folder("mine=examples:"));
  const auto scores = reward.score({images, {}});
  EXPECT_GT(scores.slice(0, 5, 20).min().item<double>(), scores.slice(0, 20).max().item<double>());
  expect_gradient(reward);
}

TEST_F(TasteFile, RefusesAnotherClipPersonOrFile) {
  auto taste = taste_of_clip();
  taste.fingerprint = -taste.fingerprint;
  rewards::save_taste(folder_ / "taste", taste);
  EXPECT_NE(refusal([&] { made(at_folder("mine=pairs:")); }).find("trained on another CLIP"),
            std::string::npos);
  taste = taste_of_clip();
  rewards::save_taste(folder_ / "taste", taste);
  EXPECT_NE(refusal([&] { made(at_folder("mine=pairs:", ";person=Bob")); }).find("person 'Bob'"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              made(at_folder("mine=examples:"));
            }).find("expected a reward by `laurel train-reward examples`"),
            std::string::npos);
  taste.low = taste.high;
  rewards::save_taste(folder_ / "taste", taste);
  EXPECT_NE(refusal([&] { made(at_folder("mine=pairs:")); }).find("expected low below high"),
            std::string::npos);
  taste = taste_of_clip();
  taste.rewards = {"mine"};
  rewards::save_taste(folder_ / "taste", taste);
  EXPECT_NE(refusal([&] { made(at_folder("mine=pairs:")); }).find("leads back to itself"),
            std::string::npos);
  EXPECT_NE(refusal([&] { made("mine=pairs:" + (folder_ / "none").string()); }).find("none"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              made("mine=pairs:" + (folder_ / "clip").string());
            }).find("expected a reward by `laurel train-reward pairs`"),
            std::string::npos);
}

}  // namespace
