#include "rewards/social/train.hpp"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/fresh_folder.hpp"
#include "tests/support/gradient_check.hpp"
#include "tests/support/refusal.hpp"
#include "tests/support/tiny/clip.hpp"

namespace {

namespace fs = std::filesystem;

at::Tensor unit(const at::Tensor& x) { return x / x.norm(2, {-1}, true); }

at::Tensor at_cosine(double cosine) {
  return at::tensor({cosine, std::sqrt(1 - cosine * cosine)}, at::kDouble).view({1, 2});
}

TEST(TripletLoss, ByHand) {
  const at::Tensor text = at_cosine(1);
  const auto loss = [&](double near, double far) {
    return rewards::triplet_loss(text, at_cosine(near), at_cosine(far), 0.3).item<double>();
  };
  EXPECT_NEAR(loss(0.5, 0.35), 0, 1e-12);  // a cosine margin of 0.15 is enough
  EXPECT_EQ(loss(0.9, 0.1), 0);
  EXPECT_NEAR(loss(0.5, 0.5), 0.3, 1e-12);
  EXPECT_NEAR(loss(0.2, 0.6), 2 * 0.4 + 0.3, 1e-12);
  EXPECT_THROW(rewards::triplet_loss(text, at_cosine(1), at::ones({2, 2}), 0.3), c10::Error);
}

TEST(TripletLoss, GradientIsThatOfDifferences) {
  auto generator = at::detail::createCPUGenerator(5);
  const auto random = [&] { return at::randn({4, 3}, generator, at::kDouble); };
  const at::Tensor text = unit(random()), other = unit(random()), x = random();
  EXPECT_LE(gradient_error(
                [&](const at::Tensor& p) {
                  return rewards::triplet_loss(text, unit(p), other, 2.0);  // none is cut off
                },
                x),
            1e-6);
}

// The community prefers the reddish images, whatever the prompt.
struct Problem {
  rewards::Clip clip;
  data::Tokenizer tokenizer;
  rewards::TripletSet set;
};
Problem colours() {
  const auto tiny = tiny_clip();
  const at::Tensor images = two_colours();
  Problem problem{.clip = tiny.clip, .tokenizer = tiny.tokenizer, .set = {}};
  problem.set.prompts = {"a red circle", "a blue square"};
  problem.set.images = [images](const at::Tensor& rows) { return images.index_select(0, rows); };
  for (int64_t i = 0; i < 20; ++i)
    (i < 14 ? problem.set.training : problem.set.validation).push_back({i % 2, i, 39 - i});
  problem.set.digest = "colours";
  return problem;
}

rewards::TrainSocialOptions options_in(const std::string& name) {
  rewards::TrainSocialOptions options;
  options.loop.output_dir = tests::fresh_folder(name);
  options.loop.train_batch_size = 7;
  options.loop.max_train_steps = 40;
  options.loop.learning_rate = 3e-3;
  options.loop.checkpointing_steps = 10;
  options.layers = {.vision = 1, .text = 1};
  return options;
}

rewards::TrainSocialResult trained(const rewards::TrainSocialOptions& options,
                                   const Problem& problem) {
  return rewards::train_social(options, problem.clip, problem.tokenizer, problem.set,
                               [](const std::string&) {});
}

TEST(TrainSocial, LearnsThePreferenceInTheChosenLayersOnly) {
  const Problem problem = colours();
  const auto result = trained(options_in("learns"), problem);
  EXPECT_EQ(result.steps, 40);
  EXPECT_EQ(result.accuracy, 1);
  EXPECT_EQ(rewards::triplet_accuracy(result.clip, problem.tokenizer, problem.set,
                                      problem.set.validation),
            1);
  const auto before = tensors_of(problem.clip), after = tensors_of(result.clip);
  for (const auto& [name, tensor] : before) {
    const bool trains = name.find("layers.1.") != std::string::npos ||
                        name.find("post_layernorm") != std::string::npos ||
                        name.find("final_layer_norm") != std::string::npos ||
                        name == "text_projection.weight";
    EXPECT_EQ(at::equal(tensor, after.at(name)), !trains) << name;
    EXPECT_FALSE(after.at(name).requires_grad());
  }
}

TEST(TrainSocial, ResumedEqualsUninterrupted) {
  const Problem problem = colours();
  const auto whole = trained(options_in("whole"), problem);
  auto options = options_in("parts");
  options.loop.max_train_steps = 40;
  options.loop.train_batch_size = 7;
  auto first = options;
  bool stopped = false;
  first.loop.logging_steps = 20;
  try {
    rewards::train_social(first, problem.clip, problem.tokenizer, problem.set,
                          [&](const std::string&) { throw std::runtime_error("killed"); });
  } catch (const std::runtime_error&) {
    stopped = true;
  }
  ASSERT_TRUE(stopped);
  options.loop.resume_from_checkpoint = "latest";
  const auto resumed = trained(options, problem);
  const auto a = tensors_of(whole.clip), b = tensors_of(resumed.clip);
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  Problem other = problem;
  other.set.digest = "others";
  EXPECT_NE(refusal([&] { trained(options, other); }).find("data"), std::string::npos);
}

}  // namespace
